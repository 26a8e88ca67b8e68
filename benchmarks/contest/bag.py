"""A bag of embeddings: the smallest encoder that crops can teach."""

import keras
from keras import ops

import keras_dinolm as kd
from contest.word_vectors import WordVectors


@keras.saving.register_keras_serializable(package="contest")
class BagOfEmbeddings(keras.Model):
    """Mean of token embeddings, trained by InfoNCE on two crops of a text.

    Nothing in it knows the order of words. It costs next to nothing a step,
    so it sees many more texts in the same time: the baseline that a small
    transformer has to beat.

    Args:
        vocabulary_size: int.
        hidden_dim: int.
        temperature: float. Of InfoNCE.
        embedding_stddev: float. Of the embeddings at the start.
    """

    def __init__(
        self,
        vocabulary_size,
        hidden_dim,
        temperature=0.05,
        embedding_stddev=0.05,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        self.temperature = temperature
        self.embedding_stddev = embedding_stddev
        self.embedding = keras.layers.Embedding(
            vocabulary_size,
            hidden_dim,
            embeddings_initializer=keras.initializers.RandomNormal(
                stddev=embedding_stddev
            ),
            name="embedding",
        )
        self.embedding.build()
        self.built = True

    def call(self, views):
        """Features `[B, V, D]` of a group of views."""
        weight = ops.cast(views["local"]["padding_mask"], "float32")
        # The first token of a view is [CLS], which says nothing here.
        weight = weight[..., 1:, None]
        tokens = self.embedding(views["local"]["token_ids"])[..., 1:, :]
        total = ops.sum(weight * tokens, axis=-2)
        return total / ops.maximum(ops.sum(weight, axis=-2), 1.0)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        return kd.losses.info_nce(y_pred[:, 0], y_pred[:, 1], self.temperature)

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "hidden_dim": self.hidden_dim,
            "temperature": self.temperature,
            "embedding_stddev": self.embedding_stddev,
        }

    def word_vectors(self, tokenizer):
        """The encoder that was learned."""
        vectors = ops.convert_to_numpy(self.embedding.embeddings)
        return WordVectors(tokenizer.tokenize, vectors)
