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

# The programs of each model, by phase, by the number of variables of each kind
# (another optimizer, frozen layers) and by the shapes of a batch.
_PROGRAMS = weakref.WeakKeyDictionary()


def eager_gradients(model, batch):
    """Runs the pass one operation after the other.

    Args:
        model: a model as `keras_dinolm.training.step` describes.
        batch: the views of some documents.

    Returns:
        `(losses, aux, gradients)`: a loss for each learner, and the gradients
        of their scaled sum for `model.trainable_variables`, `None` where
        there is none.
    """
    losses, aux, scaled = _forward(model, batch)
    # Asked for one by one: `backward` would add to what is there, and torch
    # does not know all of Keras' variables to clear them.
    gradients = torch.autograd.grad(
        scaled,
        [variable.value for variable in model.trainable_variables],
        allow_unused=True,
    )
    return losses, aux, gradients


def _forward(model, batch):
    """`(losses, aux, scaled)`, the last the sum that is differentiated."""
    outputs = model(batch, training=True)
    losses, aux = model.evaluate_objectives(batch, outputs)
    scaled = sum(
        learner.optimizer.scale_loss(loss)
        for learner, loss in zip(model.learners(), losses, strict=True)
    )
    return losses, aux, scaled


def compiled_gradients(model, batch):
    """As `eager_gradients`, by a program that is made on first use."""
    batch = keras.tree.map_structure(keras.ops.convert_to_tensor, batch)
    variables = [
        model.trainable_variables,
        model.non_trainable_variables,
        _loss_scales(model),
    ]
    state = [[v.value.detach() for v in group] for group in variables]
    programs = _PROGRAMS.setdefault(model, {})
    signature = tuple(
        (tuple(leaf.shape), leaf.dtype) for leaf in keras.tree.flatten(batch)
    )
    key = (model.phase, tuple(map(len, state)), signature)
    if key not in programs:
        programs[key] = _compile(model, variables, state, batch)
    if programs[key] is None:
        return eager_gradients(model, batch)
    run, changed = programs[key]
    losses, aux, gradients, values = run(state, batch)
    for index, value in zip(changed, values, strict=True):
        variables[1][index].assign(value)
    return losses, aux, gradients


def _loss_scales(model):
    """Variables of the optimizers that scale the loss."""
    return [
        variable
        for learner in model.learners()
        if isinstance(learner.optimizer, keras.optimizers.LossScaleOptimizer)
        for variable in learner.optimizer.variables
    ]


def _compile(model, variables, state, batch):
    """A compiled graph, and which non-trainable variables it changes."""
    changed = []

    def run(state, batch):
        trainable = [value.detach().requires_grad_() for value in state[0]]
        values = [trainable, *state[1:]]
        mapping = [
            pair
            for group, new in zip(variables, values)
            for pair in zip(group, new, strict=True)
        ]
        with keras.StatelessScope(mapping, collect_losses=True) as scope:
            losses, aux, scaled = _forward(model, batch)
        after = [scope.get_current_value(v) for v in variables[1]]
        changed[:] = [
            index
            for index, (old, new) in enumerate(zip(state[1], after))
            if new is not old
        ]
        gradients = torch.autograd.grad(scaled, trainable, allow_unused=True)
        aux = keras.tree.map_structure(torch.Tensor.detach, aux)
        losses = [loss.detach() for loss in losses]
        return losses, aux, gradients, [after[i] for i in changed]

    try:
        graph = make_fx(run)(state, batch)
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
