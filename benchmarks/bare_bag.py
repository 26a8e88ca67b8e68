"""A training step of a bag of embeddings, written directly for each backend.

The yardstick of `bag_step.py`. Each class takes the embeddings and the scale
and offset of their norm, and takes steps: the table is normalised once, the
rows of each crop are averaged, InfoNCE compares the two crops of a text, and
AdamW (linear warm-up, decay of the embeddings alone, the global norm clipped)
moves the weights. It is what one would write who knows the backend and has
read nothing of this package: compiled where that is the backend's way, fused
where it has a fused operation. Nothing is measured or guarded on the way.
"""

import dataclasses
import functools

import numpy as np

NORM_EPSILON = 1e-6


@dataclasses.dataclass(frozen=True)
class Settings:
    """The hyperparameters of the step."""

    learning_rate: float
    warmup_steps: int
    weight_decay: float = 0.04
    global_clipnorm: float = 3.0
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    temperature: float = 0.05

    def rate(self, step):
        """The learning rate of a step, counted from 0."""
        return self.learning_rate * min(1.0, (step + 1) / self.warmup_steps)


class Jax:
    """One jitted function that owns its state.

    Args:
        weights: list of arrays: embeddings, scale and offset.
        settings: `Settings`.
        way: `"gather"`, or `"scan"` to add up one column of the crops after
            the other, which never holds the rows of all of them.
    """

    ways = ("gather", "scan")

    def __init__(self, weights, settings, way):
        import jax
        import jax.numpy as jnp

        zeros = [jnp.zeros_like(w) for w in weights]
        again = [jnp.zeros_like(w) for w in weights]
        self.state = [jnp.array(w) for w in weights], zeros, again
        self.settings = settings
        self.count = 0
        compute = functools.partial(_jax_step, settings=settings, way=way)
        self.compiled = jax.jit(compute, donate_argnums=0)

    def step(self, batch):
        local = batch["local"]
        self.state, loss = self.compiled(
            self.state,
            local["token_ids"],
            local["padding_mask"],
            np.float32(self.settings.rate(self.count)),
            np.float32(self.count + 1),
        )
        self.count += 1
        return loss

    def weights(self):
        return [np.array(w) for w in self.state[0]]


def _jax_step(state, ids, mask, rate, count, settings, way):
    import jax
    import jax.numpy as jnp

    def unit(x):
        square = jnp.sum(x * x, axis=-1, keepdims=True)
        return x * jax.lax.rsqrt(jnp.maximum(square, 1e-12))

    def loss_of(weights):
        table, scale, offset = weights
        mean = jnp.mean(table, axis=-1, keepdims=True)
        variance = jnp.mean(table * table, axis=-1, keepdims=True) - mean**2
        table = (table - mean) * jax.lax.rsqrt(variance + NORM_EPSILON)
        table = table * scale + offset
        rows = ids.reshape(-1, ids.shape[-1])
        share = mask.reshape(rows.shape).astype("float32")
        share = share / jnp.sum(share, axis=1, keepdims=True)
        if way == "gather":
            text = jnp.einsum("nld,nl->nd", table[rows], share)
        else:
            text, _ = jax.lax.scan(
                lambda sum, x: (sum + table[x[0]] * x[1][:, None], None),
                jnp.zeros((len(rows), table.shape[1])),
                (rows.T, share.T),
            )
        text = unit(text).reshape(*ids.shape[:2], -1)
        a, b = text[:, 0], text[:, 1]
        scores = a @ b.T / settings.temperature
        right = jnp.sum(a * b, axis=-1) / settings.temperature
        forward = jax.nn.logsumexp(scores, axis=1)
        backward = jax.nn.logsumexp(scores, axis=0)
        return jnp.mean(0.5 * (forward + backward) - right)

    weights, first, second = state
    loss, gradients = jax.value_and_grad(loss_of)(weights)
    norm = jnp.sqrt(sum(jnp.sum(g * g) for g in gradients))
    clip = jnp.minimum(1.0, settings.global_clipnorm / norm)
    alpha = jnp.sqrt(1 - settings.beta_2**count)
    alpha = rate * alpha / (1 - settings.beta_1**count)
    new = [], [], []
    for index, (w, m, v, g) in enumerate(
        zip(weights, first, second, gradients)
    ):
        g = g * clip
        m = m + (1 - settings.beta_1) * (g - m)
        v = v + (1 - settings.beta_2) * (g * g - v)
        decay = rate * settings.weight_decay if index == 0 else 0.0
        w = w * (1 - decay) - alpha * m / (jnp.sqrt(v) + settings.epsilon)
        for values, value in zip(new, (w, m, v)):
            values.append(value)
    return new, loss


class Torch:
    """Eager, with torch's own `embedding_bag` and fused AdamW."""

    ways = ("embedding_bag",)

    def __init__(self, weights, settings, way):
        import torch

        self.settings = settings
        self.parameters = [torch.nn.Parameter(torch.tensor(w)) for w in weights]
        groups = [
            {"params": [p], "weight_decay": decay}
            for p, decay in zip(
                self.parameters, (settings.weight_decay, 0.0, 0.0)
            )
        ]
        betas = settings.beta_1, settings.beta_2
        self.optimizer = torch.optim.AdamW(groups, betas=betas, fused=True)
        self.count = 0

    def step(self, batch):
        import torch
        from torch.nn import functional as F

        table, scale, offset = self.parameters
        ids = torch.from_numpy(batch["local"]["token_ids"])
        mask = torch.from_numpy(batch["local"]["padding_mask"])
        table = F.layer_norm(
            table, table.shape[1:], scale, offset, NORM_EPSILON
        )
        share = mask.flatten(0, 1).float()
        text = F.embedding_bag(
            ids.flatten(0, 1),
            table,
            mode="sum",
            per_sample_weights=share / share.sum(1, keepdim=True),
        )
        text = F.normalize(text, dim=-1).unflatten(0, ids.shape[:2])
        a, b = text[:, 0], text[:, 1]
        scores = a @ b.T / self.settings.temperature
        right = (a * b).sum(-1) / self.settings.temperature
        both = scores.logsumexp(1) + scores.logsumexp(0)
        loss = (0.5 * both - right).mean()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(
            self.parameters, self.settings.global_clipnorm
        )
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate(self.count)
            # Keras adds epsilon before the correction of the bias.
            correction = 1 - self.settings.beta_2 ** (self.count + 1)
            group["eps"] = self.settings.epsilon / correction**0.5
        self.optimizer.step()
        self.count += 1
        return loss.detach()

    def weights(self):
        return [p.detach().numpy().copy() for p in self.parameters]


class TensorFlow:
    """One function compiled by XLA."""

    ways = ("gather",)

    def __init__(self, weights, settings, way):
        import tensorflow as tf

        self.settings = settings
        self.variables = [tf.Variable(w) for w in weights]
        self.first = [tf.Variable(tf.zeros_like(w)) for w in weights]
        self.second = [tf.Variable(tf.zeros_like(w)) for w in weights]
        self.count = 0
        self.compiled = tf.function(self._step, jit_compile=True)

    def step(self, batch):
        import tensorflow as tf

        local = batch["local"]
        loss = self.compiled(
            tf.constant(local["token_ids"]),
            tf.constant(local["padding_mask"]),
            tf.constant(self.settings.rate(self.count), "float32"),
            tf.constant(self.count + 1, "float32"),
        )
        self.count += 1
        return loss

    def _step(self, ids, mask, rate, count):
        import tensorflow as tf

        settings = self.settings
        with tf.GradientTape() as tape:
            table, scale, offset = self.variables
            mean, variance = tf.nn.moments(table, [-1], keepdims=True)
            table = (table - mean) * tf.math.rsqrt(variance + NORM_EPSILON)
            table = table * scale + offset
            rows = tf.reshape(ids, (-1, ids.shape[-1]))
            share = tf.cast(tf.reshape(mask, rows.shape), "float32")
            share = share / tf.reduce_sum(share, axis=1, keepdims=True)
            text = tf.einsum("nl,nld->nd", share, tf.gather(table, rows))
            text = tf.math.l2_normalize(text, -1)
            text = tf.reshape(text, (*ids.shape[:2], -1))
            a, b = text[:, 0], text[:, 1]
            scores = tf.matmul(a, b, transpose_b=True) / settings.temperature
            right = tf.reduce_sum(a * b, axis=-1) / settings.temperature
            both = tf.reduce_logsumexp(scores, 1)
            both = both + tf.reduce_logsumexp(scores, 0)
            loss = tf.reduce_mean(0.5 * both - right)
        gradients = [
            tf.convert_to_tensor(g) for g in tape.gradient(loss, self.variables)
        ]
        gradients, _ = tf.clip_by_global_norm(
            gradients, settings.global_clipnorm
        )
        alpha = tf.sqrt(1 - settings.beta_2**count)
        alpha = rate * alpha / (1 - settings.beta_1**count)
        for index, (w, m, v, g) in enumerate(
            zip(self.variables, self.first, self.second, gradients)
        ):
            m.assign_add((1 - settings.beta_1) * (g - m))
            v.assign_add((1 - settings.beta_2) * (g * g - v))
            decay = rate * settings.weight_decay if index == 0 else 0.0
            step = alpha * m / (tf.sqrt(v) + settings.epsilon)
            w.assign(w * (1 - decay) - step)
        return loss

    def weights(self):
        return [w.numpy() for w in self.variables]


BACKENDS = {"jax": Jax, "torch": Torch, "tensorflow": TensorFlow}
