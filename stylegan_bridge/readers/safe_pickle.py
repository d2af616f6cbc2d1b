"""Foreign pickles, read without running anything in them. The only file of this package that interprets pickle opcodes.

A pickle is a program for a small stack machine; `pickle.load` lets that program import and call whatever it names.
The machine here knows the opcodes that plain data needs and nothing else. A global is never imported: it is looked up
by name in an allow-list of a few numpy, torch and container constructors, each rebuilt below as inert data. Source code
that NVIDIA's pickles carry is dropped unread. What is not on the list is refused by name.

The result holds None, bool, int, float, str, bytes, list, dict, tuple, set, numpy arrays, and three records: `Record`
(an object's class name and state), `Storage` and `Tensor` (torch's, until `Tensor.array()`).

Memory: binary data are views of the given buffer, never copies, and a length that reaches past its end is refused
before anything is allocated. All else is charged to one `Budget` per file: 48 MiB of objects, and copies of data of
four times the file. Keys are text or small whole numbers, so that hashing takes constant time; nothing here or in the
readers turns a container into text, which a few nested doublings would make larger than any memory.
"""

from __future__ import annotations

import pickle
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stylegan_bridge.errors import BridgeError
from stylegan_bridge.readers.values import (
    STORAGE_DTYPES,
    DType,
    Record,
    Symbol,
    Tensor,
    counts,
    make_array,
    make_tensor,
)

#: NVIDIA's largest pickles take about 60,000 opcodes.
MAX_OPCODES = 1_000_000
MAX_MEMO, MAX_STACK, MAX_INT_BYTES, MAX_NAME, MAX_INT_KEY = 1_000_000, 1_000_000, 32, 200, 2**31
#: Copies of data (text, nested streams) may add up to this many times the file, plus room for small files.
COPY_FACTOR, COPY_FLOOR = 4, 2**18
#: What objects may take together, whatever the file's size; what one instruction and one item are taken to cost.
OBJECT_BYTES, OPCODE_BYTES, ITEM_BYTES, CONTAINER_BYTES = 3 * 2**24, 64, 64, 216


@dataclass(eq=False)
class _Array:
    """A numpy array between its constructor and the state that fills it, and where the memo knows it."""

    memo_keys: list[int] = field(default_factory=list)


class _Stop(Exception):
    """The STOP opcode was reached."""


class Budget:
    """What reading one file may take, the streams that lie inside it included."""

    def __init__(self, num_bytes: int) -> None:
        self.copies, self.objects = COPY_FACTOR * num_bytes + COPY_FLOOR, OBJECT_BYTES

    def copy(self, num_bytes: int) -> None:
        """Count data that are copied: a few instructions could otherwise copy one large value a million times."""
        self.copies -= num_bytes
        if self.copies < 0:
            raise BridgeError("the pickle unpacks to far more than its own size; refused")

    def make(self, num_bytes: int) -> None:
        """Count objects: an instruction of one byte makes a set of 216."""
        self.objects -= num_bytes
        if self.objects < 0:
            raise BridgeError("the pickle unpacks to far more than its own size; refused")


class Machine:
    """The stack machine. One per pickle; `load` gives the value and where the pickle ended."""

    def __init__(
        self,
        buffer: memoryview,
        start: int = 0,
        *,
        persistent_load: Callable[[Any], Any] | None = None,
        load_bytes: Callable[[memoryview, Budget], Any] | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.buffer, self.position = buffer, start
        self.budget = budget or Budget(len(buffer))
        self.persistent_load, self.load_bytes = persistent_load, load_bytes
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.value: Any = None

    def load(self) -> tuple[Any, int]:
        """Run to STOP."""
        try:
            for _ in range(MAX_OPCODES):
                opcode = self._byte()
                handler = _OPCODES.get(opcode)
                if handler is None:
                    raise BridgeError(
                        f"the pickle uses opcode 0x{opcode:02x}, which network files have no need of; refused"
                    )
                self.budget.make(OPCODE_BYTES)
                handler(self)
                if len(self.stack) > MAX_STACK or len(self.memo) > MAX_MEMO or len(self.marks) > MAX_STACK:
                    raise BridgeError("the pickle builds more objects than any network file does; refused")
        except _Stop:
            return self.value, self.position
        except (
            *(TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError),
            *(struct.error, RecursionError),
        ) as error:
            raise BridgeError(f"the pickle is malformed near byte {self.position} ({type(error).__name__})") from error
        raise BridgeError(f"the pickle has over {MAX_OPCODES:,} instructions, more than any network file; refused")

    # Reading the buffer: nothing is allocated before the length is known to be there.

    def _take(self, count: int) -> memoryview:
        end = self.position + count
        if count < 0 or end > len(self.buffer):
            raise BridgeError(f"the file ends inside a value (at byte {self.position}); it is damaged or cut short")
        view = self.buffer[self.position : end]
        self.position = end
        return view

    def _byte(self) -> int:
        if self.position >= len(self.buffer):
            raise BridgeError(f"the file ends inside the pickle (at byte {self.position}); it is damaged or cut short")
        self.position += 1
        return self.buffer[self.position - 1]

    def _unsigned(self, width: int) -> int:
        return int.from_bytes(self._take(width), "little")

    def _text(self, count: int) -> str:
        text = str(self._take(count), "utf-8", "surrogatepass")
        self.budget.copy(sys.getsizeof(text))  # one wide character makes all of them four bytes wide
        return text

    def _line(self) -> str:
        end = self.position
        limit = min(len(self.buffer), end + MAX_NAME)
        while end < limit and self.buffer[end] != 0x0A:
            end += 1
        if end == limit:
            raise BridgeError(f"the pickle holds an endless name at byte {self.position}; refused")
        text = self._text(end - self.position)
        self.position = end + 1
        return text

    # The stack.

    def _pop(self) -> Any:
        return self.stack.pop()

    def _container(self, value: Any) -> None:
        self.budget.make(CONTAINER_BYTES)
        self.stack.append(value)

    def _pop_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def _gather(self, make: Callable[[list[Any]], Any]) -> None:
        items = self._pop_mark()  # changes self.stack, so before the append is looked up
        self.budget.make(ITEM_BYTES * len(items))
        self._container(make(items))

    def _replace(self, count: int, make: Callable[[list[Any]], Any]) -> None:
        items = self.stack[len(self.stack) - count :]
        if len(items) != count:
            raise IndexError(count)
        self.budget.make(ITEM_BYTES)
        self.stack[len(self.stack) - count :] = [make(items)]

    def _global(self, module: Any, name: Any) -> None:
        self.stack.append(allowed(module, name))

    def _set_items(self, target: Any, items: list[Any]) -> None:
        if type(target) is not dict or len(items) % 2:
            raise TypeError(type(target))
        self.budget.make(ITEM_BYTES * len(items))
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(key)] = value

    def _extend(self, target: Any, items: list[Any]) -> None:
        self.budget.make(ITEM_BYTES * len(items))
        if type(target) is list:
            target.extend(items)
        elif type(target) is set:
            target.update(map(_key, items))
        else:
            raise TypeError(type(target))

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        if type(arguments) is not tuple:
            raise TypeError(type(arguments))
        if not isinstance(function, Symbol):
            raise BridgeError("the pickle calls something that is not a named constructor; refused")
        if arguments and isinstance(arguments[0], str | bytes | memoryview):
            self.budget.copy(len(arguments[0]))
        elif arguments and isinstance(arguments[0], list | tuple | dict | set):
            self.budget.make(ITEM_BYTES * len(arguments[0]))
        self.budget.make(CONTAINER_BYTES)
        self.stack.append(_call(function, arguments, self))

    def _build(self) -> None:
        state, target = self._pop(), self.stack[-1]
        if isinstance(target, _Array):
            _, shape, dtype, fortran, data = state
            self.stack[-1] = make_array(data, dtype, shape, bool(fortran))
            self.memo.update(dict.fromkeys(target.memo_keys, self.stack[-1]))
            target.memo_keys = []  # a second BUILD of the same array has nothing to update
        else:
            _set_state(target, state, self.budget)

    def _persistent(self) -> None:
        if self.persistent_load is None:
            raise BridgeError("the pickle refers to data outside itself; it is not a network file that can be read")
        self.stack.append(self.persistent_load(self._pop()))

    def _put(self, index: int) -> None:
        value = self.memo[index] = self.stack[-1]
        if isinstance(value, _Array):
            value.memo_keys.append(index)

    def _mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def _drop(self) -> None:
        self._pop()

    def _extend_from_mark(self) -> None:
        items = self._pop_mark()
        self._extend(self.stack[-1], items)

    def _set_items_from_mark(self) -> None:
        items = self._pop_mark()
        self._set_items(self.stack[-1], items)

    def _set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._set_items(self.stack[-1], [key, value])

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        self._global(module, name)

    def _stop(self) -> None:
        self.value = self._pop()
        raise _Stop

    def _proto(self) -> None:
        if (protocol := self._byte()) > 5:
            raise BridgeError(f"the pickle is of protocol {protocol}, newer than the 5 that are known")

    def _integer(self, count: int) -> None:
        if count > MAX_INT_BYTES:
            raise BridgeError(f"the pickle holds a whole number of {count} bytes; refused")
        self.stack.append(int.from_bytes(self._take(count), "little", signed=True))


def _key(value: Any) -> Any:
    """Text, and small whole numbers (optimisers number their parameters). Hashing a nested tuple takes for ever, and
    large numbers can be chosen so that all their hashes are the same."""
    if type(value) is str or (type(value) is int and 0 <= value < MAX_INT_KEY):
        return value
    raise TypeError(type(value))


# The allow-list. `allowed` answers for a GLOBAL, `_call` for REDUCE and NEWOBJ, `_set_state` for BUILD.

_NUMPY = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
_BUILDERS: dict[tuple[str, str], str] = {
    ("collections", "OrderedDict"): "dict",
    ("dnnlib.util", "EasyDict"): "dict",
    ("dnnlib", "EasyDict"): "dict",
    ("builtins", "set"): "set",
    ("__builtin__", "set"): "set",
    ("_codecs", "encode"): "latin1",
    ("builtins", "bytes"): "bytes",
    ("__builtin__", "bytes"): "bytes",
    ("torch", "Size"): "size",
    ("torch", "device"): "text",
    ("torch._utils", "_rebuild_tensor"): "tensor",
    ("torch._utils", "_rebuild_tensor_v2"): "tensor",
    ("torch._utils", "_rebuild_parameter"): "parameter",
    ("torch.nn.parameter", "Parameter"): "parameter",
    ("torch.storage", "_load_from_bytes"): "storage",
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): "persistent",
    ("dnnlib.tflib.network", "Network"): "record",
    ("argparse", "Namespace"): "record",  # the settings that stylegan2-pytorch's trainer saves beside its networks
    **{(module, "_reconstruct"): "array" for module in _NUMPY},
    **{(module, "_frombuffer"): "frombuffer" for module in _NUMPY},
    **{(module, "scalar"): "scalar" for module in _NUMPY},
    **{(module, "ndarray"): "inert" for module in _NUMPY},
    **{(module, "dtype"): "dtype" for module in _NUMPY},
    **{("torch", name): "inert" for name in (*STORAGE_DTYPES, "float32", "float16", "float64", "int64")},
}


def allowed(module: Any, name: Any) -> Symbol:
    """The symbol for a global on the list; anything else is refused by name. Nothing is imported."""
    if type(module) is not str or type(name) is not str:
        raise TypeError(type(name))
    if (module, name) not in _BUILDERS and not (module.startswith("torch.nn.modules.") and name.isidentifier()):
        shown = f"{module}.{name}"[:MAX_NAME].encode("ascii", "backslashreplace").decode()
        raise BridgeError(
            f"the file asks to run {shown!r}, which no network file needs; nothing was run, and it is refused"
        )
    return Symbol(module, name)


def _call(function: Symbol, arguments: tuple[Any, ...], machine: Machine) -> Any:
    """What calling an allowed constructor would have made, as inert data."""
    kind = _BUILDERS.get((function.module, function.name), "record")
    if kind == "record" and not arguments:
        return Record(function.name)
    if kind in ("dict", "set"):
        return _collect(kind, arguments[0] if arguments else ())
    if kind == "latin1" and [type(argument) for argument in arguments] == [str, str] and "latin" in arguments[1]:
        return arguments[0].encode({"latin1": "latin-1", "latin-1": "latin-1"}[arguments[1]])
    if kind == "bytes" and not arguments:  # how protocol 2 writes the data of an empty array
        return b""
    if kind == "size":
        return tuple(counts(arguments[0]))
    if kind == "text":
        return str(arguments[0]) if isinstance(arguments[0], str) else None
    if kind == "tensor":
        return make_tensor(*arguments[:4])
    if kind == "parameter" and arguments and isinstance(arguments[0], Tensor):
        return arguments[0]
    if kind == "storage" and machine.load_bytes is not None:
        return machine.load_bytes(memoryview(arguments[0]), machine.budget)
    if kind == "persistent":
        meta = arguments[0]
        if type(meta) is not dict or type(meta["class_name"]) is not str:
            raise TypeError(type(meta))
        return Record(meta["class_name"][:MAX_NAME], _state(meta["state"]))
    if kind == "array":
        return _Array()
    if kind == "frombuffer":
        data, dtype, shape, order = arguments
        return make_array(data, dtype, shape, order == "F")
    if kind == "scalar":
        dtype, data = arguments
        return make_array(data, dtype, (), False).item()
    if kind == "dtype" and isinstance(arguments[0], str):
        return DType(arguments[0])
    raise BridgeError(f"the file uses {function.module}.{function.name} in a way that is not understood; refused")


def _collect(kind: str, items: Any) -> dict[Any, Any] | set[Any]:
    """An OrderedDict of pairs, or a set."""
    if type(items) not in (list, tuple):
        raise TypeError(type(items))
    if kind == "set":
        return set(map(_key, items))
    made: dict[Any, Any] = {}
    for pair in items:
        if type(pair) not in (list, tuple):
            raise TypeError(type(pair))
        key, value = pair
        made[_key(key)] = value
    return made


def _set_state(target: Any, state: Any, budget: Budget) -> None:
    """BUILD: fill an object that its constructor left empty."""
    if isinstance(target, Record):
        values = _state(state)
        budget.make(2 * ITEM_BYTES * len(values))
        target.state.update(values)
    elif isinstance(target, DType):
        if state[1] not in ("<", ">", "|", "="):
            raise ValueError(state[1])
        target.order = state[1]
    elif (
        type(target) is not dict
    ):  # an OrderedDict's own attributes (a state dict's version numbers) are of no use here
        raise TypeError(type(target))


def _state(state: Any) -> dict[str, Any]:
    if type(state) is tuple and len(state) == 2 and state[0] is None:
        state = state[1]
    if type(state) is not dict or not all(type(key) is str for key in state):
        raise TypeError(type(state))
    return state


def _table() -> dict[int, Callable[[Machine], None]]:
    """Opcode to action: protocols 2 to 5 as CPython writes them, less extensions, outside buffers and text forms."""
    p = pickle
    table: dict[bytes, Callable[[Machine], None]] = {
        p.PROTO: Machine._proto,
        p.FRAME: lambda m: (m._take(8), None)[1],
        p.STOP: Machine._stop,
        p.MARK: Machine._mark,
        p.POP: Machine._drop,
        p.POP_MARK: lambda m: (m._pop_mark(), None)[1],
        p.DUP: lambda m: m.stack.append(m.stack[-1]),
        p.NONE: lambda m: m.stack.append(None),
        p.NEWTRUE: lambda m: m.stack.append(True),
        p.NEWFALSE: lambda m: m.stack.append(False),
        p.BININT: lambda m: m._integer(4),
        p.BININT1: lambda m: m.stack.append(m._unsigned(1)),
        p.BININT2: lambda m: m.stack.append(m._unsigned(2)),
        p.LONG1: lambda m: m._integer(m._unsigned(1)),
        p.LONG4: lambda m: m._integer(m._unsigned(4)),
        p.BINFLOAT: lambda m: m.stack.append(struct.unpack(">d", m._take(8))[0]),
        p.SHORT_BINUNICODE: lambda m: m.stack.append(m._text(m._unsigned(1))),
        p.BINUNICODE: lambda m: m.stack.append(m._text(m._unsigned(4))),
        p.BINUNICODE8: lambda m: m.stack.append(m._text(m._unsigned(8))),
        p.SHORT_BINBYTES: lambda m: m.stack.append(bytes(m._take(m._unsigned(1)))),
        p.BINBYTES: lambda m: m.stack.append(m._take(m._unsigned(4))),
        p.BINBYTES8: lambda m: m.stack.append(m._take(m._unsigned(8))),
        p.BYTEARRAY8: lambda m: m.stack.append(m._take(m._unsigned(8))),
        p.EMPTY_TUPLE: lambda m: m.stack.append(()),
        p.TUPLE1: lambda m: m._replace(1, tuple),
        p.TUPLE2: lambda m: m._replace(2, tuple),
        p.TUPLE3: lambda m: m._replace(3, tuple),
        p.TUPLE: lambda m: m._gather(tuple),
        p.EMPTY_LIST: lambda m: m._container([]),
        p.APPEND: lambda m: m._extend(m.stack[-2], [m._pop()]),
        p.APPENDS: Machine._extend_from_mark,
        p.EMPTY_DICT: lambda m: m._container({}),
        p.SETITEM: Machine._set_item,
        p.SETITEMS: Machine._set_items_from_mark,
        p.EMPTY_SET: lambda m: m._container(set()),
        p.ADDITEMS: Machine._extend_from_mark,
        p.FROZENSET: lambda m: m._gather(lambda items: set(map(_key, items))),
        p.BINPUT: lambda m: m._put(m._unsigned(1)),
        p.LONG_BINPUT: lambda m: m._put(m._unsigned(4)),
        p.MEMOIZE: lambda m: m._put(len(m.memo)),
        p.BINGET: lambda m: m.stack.append(m.memo[m._unsigned(1)]),
        p.LONG_BINGET: lambda m: m.stack.append(m.memo[m._unsigned(4)]),
        p.GLOBAL: lambda m: m._global(m._line(), m._line()),
        p.STACK_GLOBAL: Machine._stack_global,
        p.REDUCE: Machine._reduce,
        p.NEWOBJ: Machine._reduce,  # cls.__new__(cls, *args): for what is rebuilt here the same as a call
        p.BUILD: Machine._build,
        p.BINPERSID: Machine._persistent,
    }
    actions = {opcode[0]: action for opcode, action in table.items()}
    return actions


_OPCODES = _table()


def load_pickle(buffer: memoryview, load_bytes: Callable[[memoryview, Budget], Any] | None = None) -> Any:
    """The value of a plain pickle; `load_bytes` reads the torch streams that lie inside it as bytes."""
    return Machine(buffer, load_bytes=load_bytes).load()[0]
