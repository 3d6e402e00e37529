"""How trained networks are written down: architecture, weights and history. The skorch net around them is made anew."""

import io
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from torch import Tensor, nn

from stackkit._persistence.audit import Refused, blank, check_stored, full_name
from stackkit._persistence.object_graph import Codec, Reader, Writer, dataclass_fields, plain_attributes, unsavable
from stackkit.nn._augment import Augmentation
from stackkit.nn._categories import Categories
from stackkit.nn._encoding import ARRAYS, LEVELS, Encoding, arrays_of, encoding_of
from stackkit.nn._estimators import BNCNNClassifier, BNCNNRegressor, BNMLPClassifier, BNMLPRegressor
from stackkit.nn._learner import NetLearner
from stackkit.nn._modules import ACTIVATIONS, BNCNN, BNMLP, Average, ConvBlock
from stackkit.nn._packed_inference import JointMLP, JointNets
from stackkit.nn._parameters import DTYPES
from stackkit.nn._setup import make_net
from stackkit.nn._skorch_adapter import SkorchNet

_MODULES: dict[str, Any] = {"BNMLP": BNMLP, "BNCNN": BNCNN}
# Arrays of packed networks: of each layer, and of what is done to the outputs.
_OF_LAYERS = ("weight", "bias")
_OF_OUTPUTS = ("affine", "range")
_SETTINGS = ("optimizer", "lr", "max_epochs", "batch_size", "callbacks", "device", "verbose")


def codec_of(value: Any) -> Codec | None:
    if isinstance(value, type):
        return next((codec for base, codec in _TYPES.items() if _is_public(value, base)), None)
    if isinstance(value, SkorchNet) or (isinstance(value, NeuralNet) and value.module is not Average):
        return _RAW
    return _NET if isinstance(value, NeuralNet) else _BY_CLASS.get(full_name(type(value)))


def _is_public(value: type, base: Any) -> bool:
    if base is nn.Module:
        return value in _MODULES.values()
    return issubclass(value, base) and getattr(torch.optim, value.__name__, None) is value


# --- networks ---------------------------------------------------------------------------------------


def _encode_net(net: Any, writer: Writer) -> dict[str, Any]:
    module, given = net.module_, net.get_params_for("module")
    make, tensors = given["make"], dict(module.state_dict())
    moments, numbers = _moments(net)
    output_range = None if module.output_range is None else module.output_range.tolist()
    return {
        "module": make.func,
        "arguments": [list(make.args), make.keywords],
        "members": len(module.members),
        "weights": writer.add(_written(tensors | moments), "npz"),
        "strides": {name: list(tensor.stride()) for name, tensor in tensors.items() if not _is_in_order(tensor)},
        "numbers": numbers,
        "classes": net.classes if given["classifier"] else None,
        "dtype": next(name for name, dtype in DTYPES.items() if dtype == given["dtype"]),
        "affines": [given["input_affine"], given["output_affine"], output_range],
        "encoder": None if module.encoder is None else [module.encoder.clips, module.encoder.imputes],
        "test_shifts": given["test_shifts"],
        "settings": {name: getattr(net, name) for name in _SETTINGS},
        "history": json.dumps(list(net.history)),
    }


def _decode_net(state: Any, reader: Reader) -> Any:
    arrays = _arrays(reader.members[state["weights"]])
    make, n_members, settings = _maker(state), int(state["members"]), dict(state["settings"])
    if state["module"] in _MODULES.values():
        _check_shapes(make, n_members, arrays)
    encoding = _encoding(state.get("encoder"), arrays)
    if encoding is not None:
        _check_made_for(make, encoding)
    settings["device"] = _device_here(settings["device"])
    # Files of version 0.1 have no range.
    input_affine, output_affine, output_range = (
        None if pair is None else (np.asarray(pair[0]), np.asarray(pair[1])) for pair in [*state["affines"], None][:3]
    )
    net = make_net(
        make,
        range(n_members),  # what the first weights were drawn from no longer counts
        classes=state["classes"],
        dtype=DTYPES[state["dtype"]],
        input_affine=input_affine,
        output_affine=output_affine,
        encoding=encoding,
        output_range=output_range,
        test_shifts=bool(state["test_shifts"]),
        settings={name: settings[name] for name in _SETTINGS},
    )
    _fill(net, arrays, state["strides"], state["numbers"])
    net.history.extend(json.loads(state["history"]))
    return net


def _encoding(switches: Any, arrays: dict[str, np.ndarray], prefix: str = "encoder.") -> Encoding | None:
    if switches is None:
        return None
    clips, imputes = (bool(switch) for switch in switches)
    own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    found = {name: own[name] for name in ARRAYS}
    columns, encoded, periodic = (found[name].shape for name in ("centre", "column", "periodic"))
    shapes = [array.shape for array in found.values()]
    flat = len(columns) == len(encoded) == len(periodic) == 1
    if not flat or shapes != [columns] * 2 + [encoded] * (len(shapes) - 3) + [periodic]:
        raise Refused(f"has a network whose encoded columns do not fit each other: {shapes}")
    n_columns = {"column": columns[0] * (1 + imputes), "periodic": columns[0]}
    if not all(0 <= column < most for name, most in n_columns.items() for column in found[name]):
        raise Refused(f"has a network that encodes columns which are not among its {columns[0]}")
    encoding = encoding_of(own, clips=clips, imputes=imputes)
    for levels in (getattr(encoding, kind) for kind in LEVELS):
        fits = levels.column.ndim == 1 and levels.entry.ndim == 2 and len(levels.column) == len(levels.entry)
        if not fits or not all(0 <= column < columns[0] for column in levels.column) or levels.entry.min(initial=0) < 0:
            raise Refused(f"has a network whose categories do not fit its {columns[0]} columns")
    return encoding


def _maker(state: Any) -> Callable[[], nn.Module]:
    """What makes one network. Of the user's own, only what the estimators hand it."""
    module, (arguments, keywords) = state["module"], state["arguments"]
    numbers = [number for one in arguments for number in (one if isinstance(one, tuple) else [one])]
    if module not in _MODULES.values() and (keywords or not all(type(number) is int for number in numbers)):
        raise Refused(f"has a network of {module!r} with other arguments than numbers of inputs and outputs")
    return partial(module, *arguments, **keywords)


def _check_shapes(make: Callable[[], nn.Module], n_members: int, arrays: dict[str, np.ndarray]) -> None:
    """The weights are as large as the architecture says: else it could ask for any amount of memory."""
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in make().state_dict().items()}
    for i in range(n_members):
        for name, shape in shapes.items():
            if getattr(arrays.get(f"members.{i}.{name}"), "shape", None) != shape:
                raise Refused(f"has a network whose weights do not fit: {name} of member {i} must be of shape {shape}")


def _check_made_for(make: Any, encoding: Encoding) -> None:
    """The network takes what its columns are encoded to: else it would look for rows that its tables do not have."""
    beside = (int(make.keywords.get(name, 0)) for name in ("n_periodic", "n_tables", "n_entries"))
    made_for = (int(make.args[0]), *beside)
    if encoding.shape != made_for:
        raise Refused(f"has a network made for {made_for}, whose columns are encoded as {encoding.shape}")


def _device_here(device: Any) -> Any:
    """The one that it was on, or the processor where no card is."""
    return "cpu" if str(device).startswith("cuda") and not torch.cuda.is_available() else device


def _written(tensors: dict[str, Tensor]) -> bytes:
    file = io.BytesIO()
    arrays: dict[str, Any] = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    np.savez(file, **arrays)
    return file.getvalue()


def _arrays(data: bytes) -> dict[str, np.ndarray]:
    check_stored(data)
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@torch.no_grad()
def _fill(net: Any, arrays: dict[str, np.ndarray], strides: dict[str, list[int]], numbers: list[Any]) -> None:
    weights = {name: torch.from_numpy(value) for name, value in arrays.items() if not name.startswith("moments/")}
    net.module_.load_state_dict(weights)
    parameters = dict(net.module_.named_parameters())
    for name, stride in strides.items():
        parameters[name].data = _laid_out(parameters[name].data, stride)
    for path, value in arrays.items():
        if path.startswith("moments/"):
            _, name, key = path.split("/")
            net.optimizer_.state[parameters[name]][key] = torch.from_numpy(value).to(net.device)
    for name, key, number in numbers:
        net.optimizer_.state[parameters[name]][key] = number


def _laid_out(tensor: Tensor, stride: list[int]) -> Tensor:
    """In memory as it was: products differ in the last digits where numbers lie otherwise."""
    last = sum((size - 1) * step for size, step in zip(tensor.shape, stride, strict=True))
    if min(stride, default=0) < 0 or last >= tensor.numel():
        raise Refused(f"has a network with weights that lie outside of themselves: strides {stride}")
    return torch.empty_strided(tensor.shape, stride, dtype=tensor.dtype, device=tensor.device).copy_(tensor)


def _is_in_order(tensor: Tensor) -> bool:
    return not tensor.numel() or tensor.stride() == torch.empty(tensor.shape, device="meta").stride()


def _moments(net: Any) -> tuple[dict[str, Tensor], list[Any]]:
    """What the optimizer remembers of each parameter, with which partial_fit goes on: tensors, and other numbers."""
    tensors, numbers = {}, []
    for name, parameter in net.module_.named_parameters():
        for key, value in net.optimizer_.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"moments/{name}/{key}"] = value
            else:
                numbers.append([name, key, value])
    return tensors, numbers


# --- the networks of all folds as one ----------------------------------------------------------------


def _encode_joint(network: Any, writer: Writer) -> dict[str, Any]:
    state, encodings = vars(network), vars(network)["_encodings"]
    tensors = {name: state[f"_{name}"] for name in _OF_OUTPUTS if state[f"_{name}"] is not None}
    for i, layer in enumerate(state["_layers"]):
        tensors |= {f"layers.{i}.{name}": tensor for name, tensor in zip(_OF_LAYERS, layer, strict=True)}
    for k, encoding in enumerate(encodings):
        tensors |= {f"{k}.encoder.{name}": torch.from_numpy(array) for name, array in arrays_of(encoding).items()}
    tensors |= {f"{k}.levels": levels for k, levels in enumerate(state["_levels"])}
    return {
        "n_members": network.n_members,
        "n_features": network.n_features,
        "n_layers": len(state["_layers"]),
        "classifier": network.classifier,
        "activation": next(name for name, cls in ACTIVATIONS.items() if type(state["_activation"]) is cls),
        "encoder": [encodings[0].clips, encodings[0].imputes] if encodings else None,  # the same for all
        "device": str(network.device),
        "weights": writer.add(_written(tensors), "npz"),
    }


def _decode_joint(state: Any, reader: Reader) -> Any:
    arrays, device = _arrays(reader.members[state["weights"]]), torch.device(_device_here(state["device"]))
    n_features, n_members = [int(n) for n in state["n_features"]], int(state["n_members"])
    layers = [tuple(arrays[f"layers.{i}.{name}"] for name in _OF_LAYERS) for i in range(int(state["n_layers"]))]
    of_outputs = {name: arrays.get(name) for name in _OF_OUTPUTS}
    prefixes = [f"{k}.encoder." for k in range(len(n_features))]
    encodings = [found for prefix in prefixes if (found := _encoding(state["encoder"], arrays, prefix)) is not None]
    _check_layers(layers, len(n_features) * n_members)
    _check_ends(layers, n_features, encodings, of_outputs)
    levels = [arrays[f"{k}.levels"] for k in range(len(n_features)) if f"{k}.levels" in arrays]
    _check_levels(levels, encodings, n_members * layers[0][0].shape[1])
    if device.type not in ("cpu", "cuda"):
        raise Refused(f"has packed networks on a device that has no float64: {device}")

    def there(array: Any) -> Any:  # a copy: torch lays numbers out as products like them
        return None if array is None else torch.tensor(array, device=device)

    network = blank(JointMLP)
    vars(network).update(
        n_members=n_members,
        n_features=n_features,
        classifier=bool(state["classifier"]),
        _activation=ACTIVATIONS[state["activation"]](),
        _layers=[(there(weight), there(bias)) for weight, bias in layers],
        _encodings=encodings,
        _levels=[there(array) for array in levels],
        **{f"_{name}": there(array) for name, array in of_outputs.items()},
    )
    return network


def _check_layers(layers: list[Any], n_networks: int) -> None:
    """Each takes what the one before it gives, of as many networks."""
    n_inputs = layers[0][0].shape[-1]
    for weight, bias in layers:
        fits = weight.dtype == bias.dtype == np.float64 and weight.ndim == 3
        if not (fits and weight.shape[::2] == (n_networks, n_inputs) and bias.shape == (*weight.shape[:2], 1)):
            raise Refused(
                f"has packed networks whose layers do not fit: {weight.dtype} {weight.shape} and {bias.shape} for "
                f"{n_networks} networks and {n_inputs} inputs"
            )
        n_inputs = weight.shape[1]


def _check_ends(
    layers: list[Any], n_features: list[int], encodings: list[Encoding], of_outputs: dict[str, np.ndarray | None]
) -> None:
    """What comes before the first layer, and after the last one."""
    n_inputs, n_outputs = layers[0][0].shape[2], layers[-1][0].shape[1]
    if encodings:
        fits = n_features == [len(encoding.centre) for encoding in encodings]
        fits = fits and all(encoding.n_encoded <= n_inputs and not len(encoding.periodic) for encoding in encodings)
    else:
        fits = all(0 <= n <= n_inputs for n in n_features)
    if not fits:
        raise Refused(f"has packed networks whose columns do not fit: {n_features} for {n_inputs} inputs")
    for name, array in of_outputs.items():
        shape = (len(n_features), 2, n_outputs, 1)
        if array is not None and (array.dtype != np.float64 or array.shape != shape):
            raise Refused(f"has packed networks whose {name} of outputs is {array.shape}, and must be {shape}")


def _check_levels(levels: list[np.ndarray], encodings: list[Encoding], n_units: int) -> None:
    """What levels add to the first layers is there for each entry."""
    wanted = [(1 + encoding.tables.n_entries, n_units) for encoding in encodings]
    if not any(n_rows > 1 for n_rows, _ in wanted):
        wanted = []
    if [array.shape for array in levels] != wanted or any(array.dtype != np.float64 for array in levels):
        raise Refused(f"has packed networks whose levels are {[array.shape for array in levels]}, and must be {wanted}")


def _encode_joint_nets(nets: Any, _: Writer) -> dict[str, Any]:
    return {"network": vars(nets)["_network"], "estimators": vars(nets)["_doors"]}


def _decode_joint_nets(state: Any, _: Reader) -> Any:
    network, doors = state["network"], list(state["estimators"])
    if type(network) is not JointMLP or not all(isinstance(door, NetLearner) for door in doors):
        raise Refused("has packed networks that are none, or that belong to none of stackkit's estimators")
    if not doors or len(doors) != len(network.n_features):
        raise Refused(f"has packed networks of {len(network.n_features)} estimators, but {len(doors)} of these")
    nets = blank(JointNets)
    vars(nets).update(_network=network, _doors=doors)
    return nets


def _refuse_raw(net: Any, writer: Writer) -> Any:
    raise unsavable(
        writer.where,
        type(net.net if isinstance(net, SkorchNet) else net),
        "A raw skorch net can only be pickled. Use BNMLPClassifier or one of its kin, with your own module as "
        "module=..., or keep the net's weights with its save_params.",
    )


# --- the registry -----------------------------------------------------------------------------------


def _nothing(_state: Any, _reader: Reader) -> Any:
    raise Refused("has a raw skorch net")


_NET = Codec("nn.net", _encode_net, _decode_net)
_RAW = Codec("nn.raw", _refuse_raw, _nothing)
_TYPES: dict[Any, Codec] = {
    nn.Module: Codec("nn.module", lambda cls, _: cls.__name__, lambda state, _: _MODULES[state]),
    torch.optim.Optimizer: Codec("nn.optimizer", lambda cls, _: cls.__name__, lambda state, _: _optimizer(state)),
}
# Of files of version 0.1.
_BEFORE = {"clip_norm": None}
_BEFORE_OF_IMAGES = _BEFORE | {"cutout": None, "ema_decay": None}
_BEFORE_OF_TABLES = _BEFORE | {
    "scaling": None,
    "num_embedding": None,
    "n_bins": "auto",
    "missing": "error",
    "beta_2": 0.999,
    "front_scale": False,
    "categorical_features": None,
    "regularization_schedule": "constant",
    "precision": "float32",
}
_BY_CLASS = {
    **{
        full_name(cls): plain_attributes(f"nn.{cls.__name__}", cls, before)
        for cls, before in (
            (BNCNNClassifier, _BEFORE_OF_IMAGES),
            (BNCNNRegressor, _BEFORE_OF_IMAGES),
            (BNMLPClassifier, _BEFORE_OF_TABLES),
            (BNMLPRegressor, _BEFORE_OF_TABLES),
        )
    },
    **{full_name(cls): dataclass_fields(f"nn.{cls.__name__}", cls) for cls in (Augmentation, Categories, ConvBlock)},
    full_name(JointMLP): Codec("nn.JointMLP", _encode_joint, _decode_joint),
    full_name(JointNets): Codec("nn.JointNets", _encode_joint_nets, _decode_joint_nets),
}
BY_KIND = {codec.kind: codec for codec in (_NET, *_TYPES.values(), *_BY_CLASS.values())}


def _optimizer(name: Any) -> Any:
    found = getattr(torch.optim, str(name), None)
    if not (isinstance(found, type) and issubclass(found, torch.optim.Optimizer)):
        raise Refused(f"has an optimizer that torch.optim does not have: {name!r}")
    return found
