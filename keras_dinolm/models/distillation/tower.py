"""One of the two networks: an encoder and its projection heads."""

import keras
from keras import ops

from keras_dinolm import arguments
from keras_dinolm.layers import ProjectionHead
from keras_dinolm.layers import Prototypes
from keras_dinolm.models.encoder.lora import merged_values
from keras_dinolm.models.encoder.text_encoder import TextEncoder


@keras.saving.register_keras_serializable(package="keras_dinolm")
class Tower(keras.layers.Layer):
    """Encoder, projection heads and prototypes: a student or a teacher.

    Args:
        encoder: `TextEncoder`.
        heads: tuple of strings, the names of the heads.
        num_prototypes: int. K, the same for every head.
        head_hidden_dim: int. Width of the heads' hidden layers.
        bottleneck_dim: int. Width of the normalised feature that is compared
            with the prototypes.
        **kwargs: as for `keras.layers.Layer`.
    """

    def __init__(
        self,
        encoder,
        heads,
        num_prototypes,
        head_hidden_dim,
        bottleneck_dim,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.encoder = arguments.instance(
            "encoder", encoder, TextEncoder, "a `TextEncoder`"
        )
        self.heads = tuple(arguments.strings("heads", heads))
        self.num_prototypes = arguments.count(
            "num_prototypes", num_prototypes, 2
        )
        self.head_hidden_dim = arguments.count(
            "head_hidden_dim", head_hidden_dim
        )
        self.bottleneck_dim = arguments.count("bottleneck_dim", bottleneck_dim)
        # As attributes, which Keras saves by name.
        for head in self.heads:
            projection = ProjectionHead(
                head_hidden_dim,
                bottleneck_dim,
                dtype=self.dtype_policy,
                name=f"{head}_head",
            )
            setattr(self, projection.name, projection)
        for head in self.heads:
            prototypes = Prototypes(
                num_prototypes,
                dtype=self.dtype_policy,
                name=f"{head}_prototypes",
            )
            setattr(self, prototypes.name, prototypes)
        with keras.name_scope(self.name):
            for head in self.heads:
                self.projection(head).build((None, width_of(head, encoder)))
                self.prototypes(head).build((None, bottleneck_dim))
        self.built = True

    def projection(self, head: str) -> ProjectionHead:
        """The projection head of that name."""
        self._check_head(head)
        return getattr(self, f"{head}_head")

    def prototypes(self, head: str) -> Prototypes:
        """The prototypes behind the head of that name."""
        self._check_head(head)
        return getattr(self, f"{head}_prototypes")

    def _check_head(self, head):
        if head not in self.heads:
            raise ValueError(
                f"The {self.name} has no head {head!r}. An objective that "
                "reads it names it in its attribute `heads`, as in "
                f"`heads = ({head!r},)`. The heads are: {list(self.heads)}"
            )

    def call(
        self,
        arrays,
        masked=False,
        training=None,
        num_layers=0,
        needs_tokens=True,
    ):
        """Features of one view group.

        Args:
            arrays: dict of the group's arrays, as `TextViews` makes them.
            masked: boolean. Whether to read the masked text where there is
                one.
            training: boolean.
            num_layers: int. How many of the encoder's last layers to return.
            needs_tokens: boolean. As for `TextEncoder`.

        Returns:
            `{"tokens": [B, V, L, D], "sequence": [B, V, P]}`, where P is
            the encoder's `pooled_dim`, and with `num_layers` `"layers"`, a
            list of as many like `"tokens"`.
        """
        return read_views(
            self.encoder, arrays, masked, training, num_layers, needs_tokens
        )

    def project(self, head, features):
        """Float32 unit vectors `[..., bottleneck_dim]` of features."""
        width = width_of(head, self.encoder)
        if features.shape[-1] != width:
            raise ValueError(
                f"The head {head!r} of the {self.name} reads features of size "
                f"{width}. A head that is named 'sequence' reads the feature "
                "of a text, any other one those of tokens, and where the "
                "encoder joins layers side by side these are not of one size: "
                "no objective on tokens may share the head 'sequence'. "
                f"Received: features of size {features.shape[-1]}"
            )
        return self.projection(head)(features)

    def logits(self, head, features):
        """Float32 scores `[..., K]` of features `[..., D]`."""
        return self.prototypes(head)(self.project(head, features))

    def factors(self, head, features):
        """What the logits are the product of, for those too large to hold.

        Args:
            head: string.
            features: `[..., D]`.

        Returns:
            `(projected, prototypes)`, float32 of shapes `[..., d]` and
            `[d, K]`.
        """
        projected = ops.cast(self.project(head, features), "float32")
        return projected, self.prototypes(head).directions()

    def freeze(self):
        """Makes all of it a constant of training."""
        self.trainable = False
        # Loading restores the flags of layers, not those of their variables,
        # and a flag that is set already does not reach them again.
        for variable in self.weights:
            variable.trainable = False

    def clone(self, name):
        """Makes an independent, trainable tower with equal weights.

        What LoRA learned is in its weights.
        """
        copy = type(self)(
            self.encoder.clone(),
            self.heads,
            self.num_prototypes,
            self.head_hidden_dim,
            self.bottleneck_dim,
            dtype=self.dtype_policy,
            name=name,
        )
        copy.set_weights(
            [ops.convert_to_numpy(value) for value in merged_values(self)]
        )
        return copy

    def get_config(self):
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "heads": list(self.heads),
            "num_prototypes": self.num_prototypes,
            "head_hidden_dim": self.head_hidden_dim,
            "bottleneck_dim": self.bottleneck_dim,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["encoder"] = keras.saving.deserialize_keras_object(
            arguments.field(config, "encoder", cls)
        )
        return cls(**config)


def read_views(
    encoder,
    arrays,
    masked=False,
    training=None,
    num_layers=0,
    needs_tokens=True,
):
    """What an encoder makes of one view group.

    Args:
        encoder: `TextEncoder`.
        arrays: as for `Tower.call`, like the others.
        masked: boolean.
        training: boolean.
        num_layers: int.
        needs_tokens: boolean.

    Returns:
        What `Tower.call` returns.
    """
    ids = arrays["token_ids"]
    if masked:
        ids = arrays.get("masked_token_ids", ids)
    shape = ops.shape(ids)
    features = encoder(
        {
            "token_ids": ops.reshape(ids, (-1, shape[-1])),
            "padding_mask": ops.reshape(
                arrays["padding_mask"], (-1, shape[-1])
            ),
        },
        training=training,
        num_layers=num_layers,
        needs_tokens=needs_tokens,
    )
    dim = encoder.hidden_dim
    pooled = (*shape[:2], encoder.pooled_dim)
    outputs = {"sequence": ops.reshape(features["sequence"], pooled)}
    if "tokens" in features:
        outputs["tokens"] = ops.reshape(features["tokens"], (*shape, dim))
    if num_layers:
        outputs["layers"] = [
            ops.reshape(layer, (*shape, dim)) for layer in features["layers"]
        ]
    return outputs


def width_of(head, encoder):
    """Size of the features that a head reads.

    Args:
        head: string. The name of the head: `"sequence"` reads the feature of
            a text, any other one the features of tokens.
        encoder: `TextEncoder`.

    Returns:
        An int.
    """
    if head == "sequence":
        return encoder.pooled_dim
    return encoder.hidden_dim
