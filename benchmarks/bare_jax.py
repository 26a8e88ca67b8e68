"""The default training step written directly in jax, without Keras.

The yardstick of `train_step.py`: one pure function of arrays, jitted once with
its state donated. It computes what learning needs, to the same weights:
student forward and backward over all views, teacher forward, heads and
prototypes, Sinkhorn targets, the four default losses (sequence and token
distillation, KoLeo, InfoNCE), AdamW with decay groups and global clipping,
and the teacher's moving average on its schedule. It leaves out what else `fit`
does: averages of metrics, entropies and prototype use, statistics of the
features, and the check for gradients that are not finite.
"""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np

GROUPS = ("global", "local")
NORM_EPSILON = 1e-6


@dataclasses.dataclass(frozen=True)
class Variant:
    """Choices that change the speed and not the result.

    Attributes:
        attention: `"library"` for `jax.nn.dot_product_attention`, `"heads"`
            for a softmax between matrix products with heads as a batch axis.
        gelu: `"erfc"` as `jax.nn.gelu` has it, or `"erf"`.
        sinkhorn: `"log"` for normalised logarithms, `"scaling"` for one
            exponential and two scaling vectors.
        joint_embedding: whether one lookup, and one scatter in the backward
            pass, serves all views of the student.
    """

    attention: str = "library"
    gelu: str = "erfc"
    sinkhorn: str = "log"
    joint_embedding: bool = False


# The first draft, and the version with everything that seemed worth trying.
VARIANTS = {
    "plain": Variant(),
    "tuned": Variant("heads", "erf", "scaling", joint_embedding=True),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """The hyperparameters of the step."""

    num_layers: int
    num_heads: int
    learning_rate: float
    weight_decay: float = 0.04
    global_clipnorm: float = 3.0
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    student_temperature: float = 0.1
    teacher_temperature: float = 0.05
    contrast_temperature: float = 0.05
    koleo_weight: float = 0.1
    momentum: tuple = (0.99, 0.9995, 20_000)
    no_decay: str = r"bias$|gamma$|beta$|layer_scale$|register|prototypes$"


def initial_state(params):
    """Optimizer and teacher for the student's weights, `{path: array}`."""
    copy = lambda tree: jax.tree.map(jnp.array, tree)  # noqa: E731
    zeros = lambda: jax.tree.map(jnp.zeros_like, params)  # noqa: E731
    return {
        "student": copy(params),
        "teacher": copy(params),
        "momentum": zeros(),
        "velocity": zeros(),
        "step": jnp.zeros((), "int32"),
    }


def make_step(settings, variant):
    """A jitted `(state, views) -> (state, losses)` that takes over `state`."""

    def step(state, views):
        teacher = teacher_targets(state["teacher"], views, settings, variant)
        gradients, losses = jax.grad(student_loss, has_aux=True)(
            state["student"], teacher, views, settings, variant
        )
        return update(state, gradients, settings), losses

    return jax.jit(step, donate_argnums=0)


# === Network ===


def encode(p, embedded, padding_mask, settings, variant):
    """Token and sequence features of rows of embedded tokens."""
    rows, length, dim = embedded.shape
    registers = p["registers/register_tokens"]
    prefix = registers.shape[0]
    x = jnp.concatenate(
        [jnp.broadcast_to(registers, (rows, prefix, dim)), embedded], axis=1
    )
    mask = jnp.pad(padding_mask, ((0, 0), (prefix, 0)), constant_values=True)[
        :, None, None, :
    ]
    cos, sin = rotary_tables(length, prefix, dim // settings.num_heads)
    for index in range(settings.num_layers):
        block = f"block_{index}"
        y = layer_norm(x, p, f"{block}/attention_norm")
        y = attention(y, p, block, mask, cos, sin, settings, variant)
        x = x + y * p[f"{block}/attention_scale/layer_scale"]
        y = layer_norm(x, p, f"{block}/mlp_norm")
        y = gelu(dense(y, p, f"{block}/mlp/up"), variant)
        y = dense(y, p, f"{block}/mlp/down")
        x = x + y * p[f"{block}/mlp_scale/layer_scale"]
    tokens = layer_norm(x[:, prefix:], p, "output_norm")
    weight = padding_mask.astype("float32")
    total = jnp.einsum("nld,nl->nd", tokens, weight)
    return tokens, total / jnp.maximum(weight.sum(1, keepdims=True), 1.0)


def attention(x, p, block, mask, cos, sin, settings, variant):
    rows, length, dim = x.shape
    heads = settings.num_heads
    qkv = dense(x, p, f"{block}/attention/query_key_value")
    qkv = qkv.reshape(rows, length, 3, heads, dim // heads)
    query_key = rotate(qkv[:, :, :2], cos, sin)
    query, key, value = query_key[:, :, 0], query_key[:, :, 1], qkv[:, :, 2]
    if variant.attention == "library":
        attended = jax.nn.dot_product_attention(query, key, value, mask=mask)
    else:
        scores = jnp.einsum("nqhd,nkhd->nhqk", query, key)
        scores = jnp.where(mask, scores * (dim // heads) ** -0.5, -1e30)
        weights = jax.nn.softmax(scores, axis=-1)
        attended = jnp.einsum("nhqk,nkhd->nqhd", weights, value)
    return dense(
        attended.reshape(rows, length, dim),
        p,
        f"{block}/attention/output_projection",
    )


def head_logits(p, head, features, variant):
    """Cosines `[..., K]` to the prototypes of a head."""
    x = gelu(dense(features, p, f"{head}_head/dense_0"), variant)
    x = gelu(dense(x, p, f"{head}_head/dense_1"), variant)
    x = unit(dense(x, p, f"{head}_head/dense_2"))
    return x @ unit(p[f"{head}_prototypes/prototypes"], axis=0)


def dense(x, p, name):
    return x @ p[f"{name}/kernel"] + p[f"{name}/bias"]


def layer_norm(x, p, name):
    mean = jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(x), axis=-1, keepdims=True) - mean**2
    x = (x - mean) * jax.lax.rsqrt(variance + NORM_EPSILON)
    return x * p[f"{name}/gamma"] + p[f"{name}/beta"]


def gelu(x, variant):
    if variant.gelu == "erfc":
        return jax.nn.gelu(x, approximate=False)
    return 0.5 * x * (1.0 + jax.lax.erf(x * np.float32(0.5**0.5)))


def unit(x, axis=-1):
    square = jnp.sum(jnp.square(x), axis=axis, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(square, 1e-12))


def rotary_tables(length, prefix, dim):
    frequency = 10_000.0 ** (-np.arange(0, dim, 2) / dim)
    position = np.maximum(np.arange(prefix + length) - prefix, 0)
    angle = (position[:, None] * frequency)[:, None, None, :]
    return np.cos(angle).astype("float32"), np.sin(angle).astype("float32")


def rotate(x, cos, sin):
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


# === Losses ===


def teacher_targets(p, views, settings, variant):
    """Assignments of the teacher: of sequences [2, B, K], of tokens [M, K]."""
    batch, count, length = views["global"]["token_ids"].shape
    rows = views["global"]["token_ids"].reshape(-1, length)
    mask = views["global"]["padding_mask"].reshape(-1, length)
    embedded = p["token_embedding/embeddings"][rows]
    tokens, sequence = encode(p, embedded, mask, settings, variant)
    sequence = head_logits(p, "sequence", sequence, variant)
    slots = views["global"]["masked_indices"].reshape(-1)
    tokens = tokens.reshape(-1, tokens.shape[-1])[jnp.maximum(slots, 0)]
    tokens = head_logits(p, "token", tokens, variant)
    temperature = settings.teacher_temperature
    targets = sinkhorn(sequence, temperature, variant)
    targets = targets.reshape(batch, count, -1).swapaxes(0, 1)
    return targets, sinkhorn(tokens, temperature, variant, slots >= 0)


def student_loss(p, teacher, views, settings, variant):
    sequence_targets, token_targets = teacher
    shapes = [views[g]["token_ids"].shape for g in GROUPS]
    ids = [
        views["global"]["masked_token_ids"].reshape(-1, shapes[0][-1]),
        views["local"]["token_ids"].reshape(-1, shapes[1][-1]),
    ]
    table = p["token_embedding/embeddings"]
    if variant.joint_embedding:
        flat = table[jnp.concatenate([i.reshape(-1) for i in ids])]
        parts = jnp.split(flat, [ids[0].size])
        embedded = [x.reshape(*i.shape, -1) for x, i in zip(parts, ids)]
    else:
        embedded = [table[i] for i in ids]
    features = {}
    for group, shape, x in zip(GROUPS, shapes, embedded):
        mask = views[group]["padding_mask"].reshape(-1, shape[-1])
        tokens, sequence = encode(p, x, mask, settings, variant)
        features[group] = (
            tokens.reshape(-1, tokens.shape[-1]),
            sequence.reshape(*shape[:2], -1).swapaxes(0, 1),
        )
    of_global, of_local = (features[group][1] for group in GROUPS)
    losses = {
        "sequence_distillation": sequence_loss(
            head_logits(
                p, "sequence", jnp.concatenate([of_global, of_local]), variant
            ),
            sequence_targets,
            settings,
        ),
        "token_distillation": token_loss(
            p, features["global"][0], token_targets, views, settings, variant
        ),
        "koleo": jnp.mean(
            jnp.stack(
                [
                    koleo(x, views["global"]["token_ids"][:, view])
                    for view, x in enumerate(of_global)
                ]
            )
        ),
        "info_nce": jnp.mean(
            jnp.stack(
                [
                    info_nce(a, b, settings.contrast_temperature)
                    for a, b in zip(of_local[::2], of_local[1::2])
                ]
            )
        ),
    }
    weights = {"koleo": settings.koleo_weight}
    total = sum(weights.get(k, 1.0) * loss for k, loss in losses.items())
    return total, {"loss": total, **losses}


def sequence_loss(logits, targets, settings):
    """Cross-entropy of all views of the student but the teacher's own."""
    log_probs = jax.nn.log_softmax(logits / settings.student_temperature)
    count, batch, _ = targets.shape
    others = log_probs.sum(0) - log_probs[:count]
    pairs = count * (len(logits) - 1)
    return -jnp.sum(targets * others) / (pairs * batch)


def token_loss(p, tokens, targets, views, settings, variant):
    """Cross-entropy of the masked tokens; each view weighs the same."""
    masked = views["global"]["masked"]
    slots = views["global"]["masked_indices"].reshape(-1)
    places = jnp.maximum(slots, 0)
    per_view = masked.sum(-1).reshape(-1)[places // masked.shape[-1]]
    weight = jnp.where(slots >= 0, 1.0 / jnp.maximum(per_view, 1), 0.0)
    logits = head_logits(p, "token", tokens[places], variant)
    log_probs = jax.nn.log_softmax(logits / settings.student_temperature)
    per_token = -jnp.sum(targets * log_probs, axis=-1)
    return jnp.sum(weight * per_token) / jnp.sum(weight)


def sinkhorn(logits, temperature, variant, valid=None):
    logits = (logits - jnp.max(logits)) / temperature
    valid = jnp.ones(len(logits), "bool") if valid is None else valid
    if variant.sinkhorn == "scaling":
        kernel = jnp.where(valid[:, None], jnp.exp(logits), 0.0)
        rows = jnp.ones(len(logits))
        for _ in range(3):
            columns = 1.0 / (rows @ kernel)
            rows = 1.0 / jnp.where(valid, kernel @ columns, 1.0)
        return kernel * rows[:, None] * columns
    for _ in range(3):
        logits = jnp.where(valid[:, None], logits, -jnp.inf)
        logits = jax.nn.log_softmax(logits, axis=0)
        logits = jax.nn.log_softmax(logits, axis=1)
    return jnp.where(valid[:, None], jnp.exp(logits), 0.0)


def koleo(x, texts):
    """Minus the log distance to the nearest row of another text."""
    x = unit(x)
    same = jnp.all(texts[:, None] == texts[None], axis=-1)
    cosines = jnp.where(same, -jnp.inf, jax.lax.stop_gradient(x @ x.T))
    nearest = x[jnp.argmax(cosines, axis=1)]
    distance = jnp.sqrt(jnp.sum(jnp.square(x - nearest), axis=-1))
    return -jnp.mean(jnp.log(distance + 1e-8))


def info_nce(a, b, temperature):
    scores = unit(a) @ unit(b).T / temperature
    positives = jnp.diagonal(scores)
    forward = jax.nn.logsumexp(scores, axis=1) - positives
    backward = jax.nn.logsumexp(scores, axis=0) - positives
    return 0.5 * jnp.mean(forward + backward)


# === Update ===


def update(state, gradients, settings):
    """AdamW on the student, then the teacher's moving average."""
    count = (state["step"] + 1).astype("float32")
    norm = jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in gradients.values()))
    clip = jnp.minimum(1.0, settings.global_clipnorm / norm)
    rate = settings.learning_rate
    scale = jnp.sqrt(1.0 - settings.beta_2**count)
    scale = rate * scale / (1.0 - settings.beta_1**count)
    start, end, steps = settings.momentum
    wave = 0.5 - 0.5 * jnp.cos(jnp.pi * jnp.minimum(state["step"] / steps, 1))
    share = 1.0 - (start + (end - start) * wave)

    new = {k: {} for k in ("student", "teacher", "momentum", "velocity")}
    for path, weight in state["student"].items():
        gradient = gradients[path] * clip
        m, v = state["momentum"][path], state["velocity"][path]
        m = m + (1.0 - settings.beta_1) * (gradient - m)
        v = v + (1.0 - settings.beta_2) * (jnp.square(gradient) - v)
        if not re.search(settings.no_decay, path):
            weight = weight * (1.0 - rate * settings.weight_decay)
        weight = weight - scale * m / (jnp.sqrt(v) + settings.epsilon)
        teacher = state["teacher"][path]
        new["student"][path] = weight
        new["teacher"][path] = teacher + share * (weight - teacher)
        new["momentum"][path], new["velocity"][path] = m, v
    return {**new, "step": state["step"] + 1}
