"""The pass forward and back under torch: eager, or as one compiled graph.

`torch.compile` by itself reads the Python code of all of Keras, which takes
minutes and ends in a hundred pieces. Here the pass is traced the way jax does
it: it runs once on tensors that record what is done to them, and what they
recorded, one straight line of operations, is compiled.
"""

import warnings
import weakref

import keras
import torch
from torch.fx.experimental.proxy_tensor import make_fx

# Of each model: by phase, by the number of variables of each kind (another
# optimizer, frozen layers) and by the shapes of a batch.
_PROGRAMS = weakref.WeakKeyDictionary()


def eager_gradients(model, x):
    """Runs the pass one operation after the other.

    Args:
        model: a model as `keras_dinolm.training.step` describes.
        x: the views.

    Returns:
        `(loss, aux, gradients)`, the gradients being those of the scaled loss
        for `model.trainable_variables`, `None` where there is none.
    """
    outputs = model(x, training=True)
    loss, aux = model.evaluate_objectives(x, outputs)
    # Asked for one by one: `backward` would add to what is there, and torch
    # does not know all of Keras' variables to clear them.
    gradients = torch.autograd.grad(
        model.optimizer.scale_loss(loss),
        [variable.value for variable in model.trainable_variables],
        allow_unused=True,
    )
    return loss, aux, gradients


def compiled_gradients(model, x):
    """As `eager_gradients`, by a program that is made on first use."""
    x = keras.tree.map_structure(keras.ops.convert_to_tensor, x)
    variables = [
        model.trainable_variables,
        model.non_trainable_variables,
        # A loss scale is one of these.
        model.optimizer.variables
        if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        else [],
    ]
    state = [[v.value.detach() for v in group] for group in variables]
    programs = _PROGRAMS.setdefault(model, {})
    signature = tuple(
        (tuple(leaf.shape), leaf.dtype) for leaf in keras.tree.flatten(x)
    )
    key = (model.phase, tuple(map(len, state)), signature)
    if key not in programs:
        programs[key] = _compile(model, variables, state, x)
    if programs[key] is None:
        return eager_gradients(model, x)
    run, changed = programs[key]
    loss, aux, gradients, values = run(state, x)
    for index, value in zip(changed, values, strict=True):
        variables[1][index].assign(value)
    return loss, aux, gradients


def _compile(model, variables, state, x):
    """A compiled graph, and which non-trainable variables it changes."""
    changed = []

    def run(state, x):
        trainable = [value.detach().requires_grad_() for value in state[0]]
        values = [trainable, *state[1:]]
        mapping = [
            pair
            for group, new in zip(variables, values)
            for pair in zip(group, new, strict=True)
        ]
        with keras.StatelessScope(mapping, collect_losses=True) as scope:
            outputs = model(x, training=True)
            loss, aux = model.evaluate_objectives(x, outputs)
            scaled = model.optimizer.scale_loss(loss)
        after = [scope.get_current_value(v) for v in variables[1]]
        changed[:] = [
            index
            for index, (old, new) in enumerate(zip(state[1], after))
            if new is not old
        ]
        gradients = torch.autograd.grad(scaled, trainable, allow_unused=True)
        aux = keras.tree.map_structure(torch.Tensor.detach, aux)
        return loss.detach(), aux, gradients, [after[i] for i in changed]

    try:
        graph = make_fx(run)(state, x)
    except RuntimeError as error:
        if "value out of a tracing tensor" not in str(error):
            raise
        warnings.warn(
            "jit_compile=True: under torch, Keras draws random numbers by a "
            "generator that has to be seeded outside of a compiled graph, so "
            "this step runs eagerly. Build the encoder with dropout=0 and "
            "drop_path_rate=0 for a compiled one.",
            stacklevel=2,
        )
        return None
    # The memory layout that was recorded need not be that of the compiled
    # tensors; a `view` would insist on it.
    for node in graph.graph.nodes:
        if node.target in (
            torch.ops.aten.view.default,
            torch.ops.aten._unsafe_view.default,
        ):
            node.target = torch.ops.aten.reshape.default
    graph.recompile()
    return torch.compile(graph), changed
