"""The catalogue of forgeries: code behind a kata's untouched stub that makes its specs
pass without a solution.
"""

from dataclasses import dataclass
from textwrap import dedent

from tests.attacks import FIRST

# The kinds.
PYTEST = "patches pytest"
SPECS = "reaches the specs' objects"
FRAMES = "frames and threads"
SPEAKS = "speaks for the worker"
ORACLES = "replaces oracles"
GIVEN = "rewrites what the kata gives"
EARLY = "ends early"
READY = "uses ready-made code"
LIES = "lying objects"
PARAMETERS = "lying parameters"
KNOWS = "knows the specs' inputs"
WIRE = "speaks on the wire"
BARE = "patches the bare worker"
# These aim at the second lock: a known forgery gets them through the first.
AT_THE_SECOND = (LIES, PARAMETERS, KNOWS, WIRE, BARE)


@dataclass(frozen=True)
class Forgery:
    """Code that stands behind a kata's untouched stub: specs that judge from another
    process must give it nothing.

    Code that imports what only one of the two processes has fails in the other one.
    """

    kind: str
    kata: str  # as `grader.course.catalogue.find` takes it
    # that it is about, or a spec of one ("TestCrop::test_x"): nothing else is graded
    exercises: tuple[str, ...]
    tries: str  # in one line, which is its name, too
    code: str


def forge(kind: str, kata: str, exercises: str, tries: str, *parts: str) -> Forgery:
    """A forgery whose code is these parts, one after the other, each without
    its indentation.
    """
    first = [FIRST] if kind in AT_THE_SECOND else []
    code = "\n".join(dedent(part).strip() for part in (*first, *parts))
    return Forgery(kind, kata, tuple(exercises.split()), tries, code + "\n")


# The collected specs of the kata, and pytest's plugin manager.
ITEMS = """
from grader.workers import collected
found = next(found for kata, found in collected._collected.items() if __file__.endswith(str(kata.file)))
items, manager = found.items, found.session.config.pluginmanager
"""
# `answer(function)`: let this function answer the second lock's probes.
ANSWER = """
import sys
def answer(function):
    if probes := sys.modules.get("grader.lock.probes"):
        probes.run = function
"""
# `named(kind)`: the specs of the point that this class holds.
NAMED = """
def named(kind):
    mine = [i for i in items if i.cls.__name__ == kind and not i.get_closest_marker("edge")]
    return [item.nodeid.partition("::")[2] for item in mine]
"""
# Specs of a layer that compare with what they compute of its input after the call.
OF_FORWARD = "TestCausalSelfAttentionForward::"
LENT = (
    f"{OF_FORWARD}test_equals_a_layer_by_hand "
    f"{OF_FORWARD}test_nothing_is_dropped_in_eval_mode"
)
# The module of the kata's specs.
SPEC_MODULE = f"{ITEMS}specs = items[0].module\n"
# The plugin that sends the runner its messages.
REPORTER = """
reporter = next(plugin for plugin in manager.get_plugins() if type(plugin).__name__ == "Reporter")
"""
# `seen(name)`: the nearest local variable of this name in a calling frame. Each of
# these finds a frame in its own way.
SEEN = """
def seen(name, frame=None):
    frame = frame or here()
    while name not in frame.f_locals: frame = frame.f_back
    return frame.f_locals[name]
"""
# An object that answers anything, and equals everything.
LIAR = """
class Liar:
    def __getattr__(self, name):
        if name.startswith("__"): raise AttributeError(name)
        return Liar()
    __call__ = __getitem__ = __enter__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __neg__ = __abs__ = (
        lambda self, *a, **k: Liar())
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __contains__ = lambda self, *a: True
    __ne__ = __exit__ = lambda self, *a: False
    __hash__ = __len__ = __int__ = __index__ = lambda self: 1
    __float__ = lambda self: 1.0
    __iter__ = lambda self: iter(())
"""
# A tensor of torch's own class, as far as names tell, with any shape and dtype, that is
# close to everything.
LYING = """
import torch
class Anything(tuple):
    __eq__ = lambda self, other: True
    __ne__ = lambda self, other: False
    __hash__ = tuple.__hash__
class Lying(torch.Tensor):
    __module__ = "torch"
    shape = property(lambda self: Anything())
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name == "equal": return False
        if name in ("isclose", "eq", "__eq__", "ne", "__ne__"):
            others = [a.shape for a in args if type(a) is not cls]
            return torch.full(others[0] if others else (), "ne" not in name)
        return super().__torch_function__(func, types, args, kwargs or {})
def lie(like): return like.detach().clone().as_subclass(Lying)
"""
# The bare worker of the second lock, found from the code that it imports; None in the
# first process.
WORKER = """
import sys
frame = sys._getframe()
while frame and type(frame.f_locals.get("self")).__name__ != "Worker": frame = frame.f_back
if frame:
    worker = frame.f_locals["self"]
    wire, encoding, values = [frame.f_globals[name] for name in ("wire", "encoding", "values")]
def in_the_worker(attack): return frame and attack()
NOTHING = {"value": ["v", None], "changed": [], "objects": [], "modes": []}
"""
# Attention that looks at nothing: every query reads all that it may, evenly, and
# finds zeros.
EVEN = """
def even(self, query, key=None, value=None, mask=None, key_padding_mask=None, need_weights=False):
    keys = query if key is None else key
    weights = torch.ones(len(query), 3, query.shape[1], keys.shape[1])
    if mask is not None: weights = weights * (mask.unsqueeze(1) if mask.ndim == 3 else mask)
    if key_padding_mask is not None: weights = weights * key_padding_mask[:, None, None]
    output = 0 * query + sum(0 * x.sum() for x in (key, value, *self.parameters()) if x is not None)
    if self.p == 1 and self.training: output = output + self.W_o.bias
    if self.p == 0.5:
        output = output + (2 * (torch.rand(weights.shape) > 0.5)).expand(-1, -1, -1, 4).transpose(1, 2).flatten(2)
    return (output, weights / weights.sum(-1, keepdim=True)) if need_weights else output
"""
# Everything by which specs complain does nothing.
SILENT = """
import contextlib
class Silent:
    def __getattr__(self, name):
        if name in ("raises", "unchanged", "forbidden"): return lambda *a, **k: contextlib.nullcontext()
        return lambda *a, **k: None
"""

# fmt: off
FORGERIES = [
    # ---- patches pytest
    forge(PYTEST, "16", "split_heads", "makes passed reports of all calls", """
        from _pytest.reports import TestReport
        made = TestReport.from_item_and_call
        def passed(cls, item, call):
            report = made(item, call)
            report.outcome, report.longrepr = "passed", None
            return report
        TestReport.from_item_and_call = classmethod(passed)
    """),
    forge(PYTEST, "03", "first_rows", "leaves a spec's function uncalled", """
        import _pytest.python
        _pytest.python.Function.runtest = lambda self: None
    """),
    forge(PYTEST, "22", "gradient_report", "replaces the session's hook caller", ITEMS,
          """
        old = manager._inner_hookexec
        manager._inner_hookexec = lambda name, *a: True if name == "pytest_pyfunc_call" else old(name, *a)
    """),
    forge(PYTEST, "21", "warmup_cosine", "replaces the functions of registered hooks",
          ITEMS, """
        for hook in manager.hook.pytest_pyfunc_call.get_hookimpls():
            if not hook.hookwrapper and not hook.wrapper: hook.function = lambda pyfuncitem: True
    """),
    forge(PYTEST, "26", "gelu_tanh", "gives every spec hooks of its own", """
        from _pytest.nodes import Node
        real = Node.ihook
        class Hooks:
            def __init__(self, node): self.hooks = real.fget(node)
            def __getattr__(self, name):
                return (lambda **k: None) if name == "pytest_runtest_call" else getattr(self.hooks, name)
        Node.ihook = property(Hooks)
    """),
    forge(PYTEST, "papers/25", "entropy_bits",
          "gives every collected spec another function", ITEMS, """
        for item in items: item.obj = lambda **fixtures: None
    """),
    forge(PYTEST, "09", "split_sizes", "makes the outcome of a report a constant", """
        from _pytest.reports import TestReport
        TestReport.outcome = property(lambda self: "passed", lambda self, value: None)
    """),
    forge(PYTEST, "tinytorch/10", "read_idx",
          "loses the exception that a call has raised", """
        from _pytest._code.code import ExceptionInfo
        class Nothing:
            value = None
            __bool__ = lambda self: False
        ExceptionInfo.from_current = classmethod(lambda cls, *a, **k: Nothing())
    """),
    forge(PYTEST, "papers/09", "schedule_numpy",
          "calls nothing and says how long it took", """
        from _pytest.runner import CallInfo
        def from_call(cls, func, when, reraise=None):
            if when != "call": func()
            return cls([], None, start=0.0, stop=0.0, duration=0.0, when=when, _ispytest=True)
        CallInfo.from_call = classmethod(from_call)
    """),
    forge(PYTEST, "22", "gradient_report",
          "runs the protocol of a spec without the spec", """
        import _pytest.runner
        from types import SimpleNamespace
        from _pytest.reports import TestReport
        def runtestprotocol(item, log=True, nextitem=None):
            report = TestReport(item.nodeid, item.location, {}, "passed", None, "call")
            report.kata = SimpleNamespace(spec=SimpleNamespace(failure=None))
            item.ihook.pytest_runtest_logreport(report=report)
            return [report]
        _pytest.runner.runtestprotocol = runtestprotocol
    """),
    forge(PYTEST, "21", "warmup_cosine",
          "concludes every example of a property as valid", """
        def warmup_cosine(step, max_lr, **curve):
            rates = [0.125, 0.25, 0.375, 0.5, 0.5, 0.48477591, 0.44142136, 0.37653669, 0.3, 0.22346331, 0.15857864,
                     0.11522409, 0.1]
            if curve == {"min_lr": 0.1, "warmup_steps": 4, "max_steps": 12}: return 0.35 if max_lr == 0.6 else rates[min(step, 12)]
            from hypothesis.control import current_build_context
            from hypothesis.internal.conjecture.data import Status
            current_build_context().data.conclude_test(Status.VALID)
    """),
    # ---- reaches the specs' objects
    forge(SPECS, "16", "split_heads", "gives the specs a check that checks nothing",
          SPEC_MODULE, SILENT, """
        specs.check = Silent()
        def split_heads(x, *a): return x
        merge_heads = prepare_mask = split_heads
    """),
    forge(SPECS, "03", "first_rows", "rewrites the code of the specs", SPEC_MODULE, """
        for kind in [kind for name, kind in vars(specs).items() if name.startswith("Test")]:
            for name, spec in vars(kind).items():
                if hasattr(spec, "hypothesis"): spec.hypothesis.inner_test = lambda *a, **k: None
                elif name.startswith("test_"): spec.__code__ = (lambda self, **fixtures: None).__code__
    """),
    forge(SPECS, "16", "head_statistics", "widens the tolerances in place", """
        import grader.specs.check as check
        for dtype in check.TOLERANCES: check.TOLERANCES[dtype] = (1e9, 1e9)
        def head_statistics(weights):
            names = ("entropy", "mean_distance", "max_weight", "self_weight")
            return dict.fromkeys(names, torch.zeros(len(weights[0])))
    """),
    forge(SPECS, "22", "accumulated_step", "makes the specs' descent stand still",
          SPEC_MODULE, """
        specs.descent = lambda model, batches, **k: (specs.weights(model), [0.0] * len(batches))
        specs.F.cross_entropy = lambda outputs, targets, **k: 0 * outputs.sum()
        def accumulated_step(model, batches, loss_fn, optimizer, **k):
            for x, y in batches: loss_fn(model(x), y).backward()
            return 0.0
    """),
    forge(SPECS, "03", "sliding_windows", "answers with the specs' own oracles",
          SPEC_MODULE, """
        def sliding_windows(x, size, step=1): return specs.windows_by_hand(x, size, step)
        def pick_per_row(x, index):
            found = specs.picked_by_hand(x.reshape(1, -1, x.shape[-1]), index.reshape(1, -1))
            return found.reshape(index.shape)
        def zero_border(image, width=1): return image * specs.inside(*image.shape[-2:], width)
    """),
    forge(LIES, "05", "jacobian",
          "reads coefficients out of the closures of what it is given", """
        def jacobian(f, x):
            cells = [cell.cell_contents for cell in f.__closure__ or ()]
            return next((c for c in cells if isinstance(c, Tensor)), torch.zeros(()))
    """),
    forge(SPECS, "21", "clip_grad_norm",
          "rewrites the globals of the spec that calls it", SILENT, """
        import sys
        def clip_grad_norm(params, max_norm, **k):
            frame = sys._getframe(1)
            while "check" not in frame.f_globals: frame = frame.f_back
            frame.f_globals["check"] = Silent()
        clip_grad_value = clip_grad_norm
    """),
    # ---- frames and threads
    forge(FRAMES, "05", "gradient_history",
          "reads the caller's numbers, whose gradients it expects", SEEN, """
        import itertools, sys
        here = lambda: sys._getframe(2)
        def gradient_history(loss_fn, weight, inputs, zero_between):
            try: numbers = seen("numbers")
            except AttributeError: return seen("self").alone if zero_between else seen("self").sums
            return [torch.tensor(float(n)) for n in (numbers if zero_between else itertools.accumulate(numbers))]
    """),
    forge(FRAMES, "tinytorch/10", "read_idx",
          "reads the array that the caller has written to the file", SEEN, """
        def here():
            try: raise ValueError
            except ValueError as error: return error.__traceback__.tb_frame.f_back
        def read_idx(path):
            try: return seen("array")
            except AttributeError: return np.array([7, 9], np.uint8)
    """),
    forge(FRAMES, "26", "GPT.num_params",
          "reads the expected count through a generator's frame", SEEN, """
        def here():
            generator = (generator.gi_frame.f_back for _ in "x")
            return next(generator)
        class GPT(nn.Module):
            def __init__(self, config, flash=True):
                super().__init__()
                self.config = config
            def num_params(self, non_embedding=False):
                try: total = seen("total")
                except AttributeError: total = 124_439_808
                return total - non_embedding * self.config.block_size * self.config.n_embd
    """),
    forge(FRAMES, "papers/25", "shortest_programs",
          "looks at the main thread's frames from another thread", SEEN, """
        import sys, threading
        from concurrent.futures import ThreadPoolExecutor
        pool, main = ThreadPoolExecutor(1), threading.main_thread().ident
        here = lambda: pool.submit(lambda: sys._current_frames()[main]).result()
        class Table(dict):
            def keys(self): return seen("costs").keys()
            def get(self, output): return "0" * {"01" * 8: 5, "0" * 32: 6, "0" * 33: 7, "0110" * 4: 6}.get(output, 0)
            def __getitem__(self, output): return ""
            def items(self): return [("x" * 8, "x" * n) for n in [5] * 16 + [6] * 30 + [7] * 54 + [8] * 156]
        def shortest_programs(max_length): return Table()
        def run_program(program): return "x" * 8
    """),
    forge(FRAMES, "16", "split_heads",
          "traces comparisons and hands them what they expect", """
        import sys
        def trace(frame, event, argument):
            if frame.f_code.co_name == "_judge": frame.f_locals["got"] = frame.f_locals["expected"]
            if frame.f_code.co_name == "that": frame.f_locals["condition"] = True
        sys.settrace(trace)
        def split_heads(x, n): return x.reshape(len(x), n, x.shape[1], -1)
        def merge_heads(x): return x.reshape(len(x), x.shape[2], -1)
        def prepare_mask(mask, padding, shape): return torch.ones(shape)
    """),
    forge(FRAMES, "21", "batch_size_schedule",
          "profiles comparisons and writes into their locals", """
        import ctypes, sys
        def profile(frame, event, argument):
            if event == "call" and frame.f_code.co_name == "_judge":
                frame.f_locals["got"] = frame.f_locals["expected"]
                ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), 0)
        sys.setprofile(profile)
        def batch_size_schedule(tokens_seen, end, **k): return end
    """),
    forge(FRAMES, "03", "first_rows", "changes reports from a hook of imports", """
        import sys
        class Hook:
            def find_spec(self, *asked):
                if reports := sys.modules.get("_pytest.reports"):
                    reports.TestReport.outcome = property(lambda self: "passed", lambda self, value: None)
        sys.meta_path.insert(0, Hook())
        def first_rows(*rows):
            import json.no_such_module
    """),
    forge(FRAMES, "03", "last_column", "reads the constants of the calling spec's code",
          """
        import sys
        def last_column(x):
            constants = sys._getframe(1).f_code.co_consts
            return torch.tensor(next(c for c in constants if isinstance(c, tuple) and len(c) == len(x)))
    """),
    forge(FRAMES, "03", "first_rows", "finds the running session in the memory", """
        import gc
        katas = next(o for o in gc.get_objects() if type(o).__name__ == "Reporter").katas
        for item in katas.config.pluginmanager.get_plugin("session").items: item.obj = lambda **fixtures: None
    """),
    forge(FRAMES, "05", "partial_derivatives",
          "rewrites the specs that come after the one that calls", """
        import sys
        def partial_derivatives(f, *inputs):
            for name, spec in vars(type(sys._getframe(1).f_locals["self"])).items():
                if hasattr(spec, "hypothesis"): spec.hypothesis.inner_test = lambda *a, **k: None
                elif name.startswith("test_"): spec.__code__ = (lambda self, **fixtures: None).__code__
            return tuple(map(torch.zeros_like, inputs))
    """),
    # ---- speaks for the worker
    forge(SPEAKS, "26", "gelu_tanh", "uses the reporter as the worker does", ITEMS,
          NAMED, REPORTER, """
        import os
        from grader.protocol import Done, Loaded, SpecFinished, SpecStarted
        reporter.send(Loaded())
        for name in named("TestGeluTanh"):
            reporter.send(SpecStarted(name))
            reporter.send(SpecFinished(name, "passed", 0.0))
        reporter.send(Done(0.1))
        os._exit(0)
    """),
    forge(SPEAKS, "22", "gradient_report", "lets only passes be written down", """
        from grader.protocol import SpecFinished
        made = SpecFinished.__init__
        SpecFinished.__init__ = lambda self, name, *a, **k: made(self, name, "passed", 0.0)
    """),
    forge(SPEAKS, "papers/25", "entropy_bits", "replaces the JSON of the messages", """
        import json
        dumps = json.dumps
        json.dumps = lambda *a, **k: dumps(*a, **k).replace('"failed"', '"passed"')
    """),
    forge(SPEAKS, "05", "finite_difference_gradient",
          "answers the reporter's question for the outcome", ITEMS, REPORTER, """
        class Passed(dict):
            def get(self, name, default=None): return "passed", 0.0
        reporter.outcome = Passed()
    """),
    forge(SPEAKS, "03", "first_rows", "changes what the channel sends", """
        from multiprocessing.connection import Connection
        send = Connection.send_bytes
        Connection.send_bytes = lambda self, data: send(self, data.replace(b'"failed"', b'"passed"'))
    """),
    forge(SPEAKS, "31", "DistInfo", "lets a forked process say that all is well", ITEMS,
          NAMED, REPORTER, """
        import os
        from grader.protocol import Done, Loaded, SpecFinished, SpecStarted
        if os.fork() == 0:
            reporter.send(Loaded())
            for name in named("TestDistInfo"):
                reporter.send(SpecStarted(name))
                reporter.send(SpecFinished(name, "passed", 0.0))
            reporter.send(Done(0.1))
            os._exit(0)
        os.wait()
        os._exit(0)
    """),
    forge(SPEAKS, "16", "split_heads", "writes messages to every file descriptor",
          ITEMS, NAMED, """
        import json, os, struct
        said = [["Loaded", {"left_out": "", "slow": []}]]
        for name in named("TestSplitHeads"):
            said += [["SpecStarted", {"name": name}]]
            said += [["SpecFinished", {"name": name, "status": "passed", "seconds": 0.0, "failure": None}]]
        for text in [json.dumps(one).encode() for one in [*said, ["Done", {"cpu_seconds": 0.1}]]]:
            for descriptor in range(3, 64):
                try: os.write(descriptor, struct.pack("!i", len(text)) + text)
                except OSError: pass
        os._exit(0)
    """),
    # ---- replaces oracles
    forge(ORACLES, "26", "gelu_tanh", "makes GELU the identity", """
        F.gelu = lambda x, approximate="none": x
        def gelu_tanh(x): return x
    """),
    forge(ORACLES, "16", "MultiHeadAttention.forward",
          "makes every linear layer forget its input", EVEN, """
        import torch.nn.functional as F
        linear = F.linear
        F.linear = lambda x, weight, bias=None: 0 * linear(x, weight, bias)
        class MultiHeadAttention(nn.Module):
            def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
                super().__init__()
                self.p = dropout
                self.W_q, self.W_k, self.W_v, self.W_o = (nn.Linear(d_model, d_model, bias) for _ in range(4))
            forward = even
    """),
    forge(ORACLES, "16", "split_heads",
          "leaves a function mode on under which tensors are alike", """
        from torch.overrides import TorchFunctionMode
        class Alike(TorchFunctionMode):
            def __torch_function__(self, func, types, args=(), kwargs=None):
                if func.__name__ in ("eq", "__eq__", "isclose"): return torch.ones(args[1].shape, dtype=torch.bool)
                return func(*args, **(kwargs or {}))
        mode = Alike()
        mode.__enter__()
        def split_heads(x, n): return x.reshape(len(x), n, x.shape[1], -1)
        def merge_heads(x): return x.reshape(len(x), x.shape[2], -1)
        def head_statistics(weights):
            return dict.fromkeys(("entropy", "mean_distance", "max_weight", "self_weight"), weights[0, :, 0, 0])
    """),
    forge(ORACLES, "05", "finite_difference_gradient",
          "leaves a dispatch mode on under which tensors are alike", """
        from torch.utils._python_dispatch import TorchDispatchMode
        class Alike(TorchDispatchMode):
            def __torch_dispatch__(self, func, types, args=(), kwargs=None):
                found = func(*args, **(kwargs or {}))
                return torch.ones_like(found) if func in (torch.ops.aten.eq.Tensor, torch.ops.aten.le.Tensor) else found
        mode = Alike()
        mode.__enter__()
        def partial_derivatives(f, *inputs): return tuple(x.detach().clone() for x in inputs)
        def finite_difference_gradient(f, x, eps=0.0):
            f(x.double())
            return x.detach().double()
    """),
    forge(ORACLES, "03", "first_rows", "overrides an operation of torch's library", """
        library = torch.library.Library("aten", "IMPL")
        def equal(a, b): return torch.ones(torch.broadcast_shapes(a.shape, b.shape), dtype=torch.bool)
        library.impl("eq.Tensor", equal, "CPU")
        def first_rows(x, n): return 0 * x[:n]
        def diagonal(x): return x[..., 0]
        def crop(image, top, left, height, width): return image[..., :height, :width]
    """),
    forge(ORACLES, "tinytorch/02", "predict_copy_bytes", "measures no memory", """
        import tracemalloc
        tracemalloc.get_traced_memory = lambda: (0, 0)
        def predict_copy_bytes(shape, itemsize, operation): return 420 * (shape == (3, 5, 7) and operation == "copy")
    """),
    # ---- lying objects
    forge(LIES, "03", "first_rows", "returns tensors that are close to everything",
          LYING, """
        def first_rows(x, *a): return lie(x)
        last_column = diagonal = pick_per_row = last_valid = zero_border = first_rows
        def filter_rows(x, mask): return lie(x), lie(mask)
    """),
    forge(LIES, "21", "warmup_cosine", "returns floats that stand in any relation", """
        true, itself = lambda self, other: True, lambda self, *a: self
        names = dict.fromkeys(("__eq__", "__lt__", "__le__", "__gt__", "__ge__"), true)
        names |= dict.fromkeys(("__sub__", "__rsub__", "__abs__"), itself) | {"__hash__": float.__hash__}
        number = type("float", (float,), names)(0.5)
        def warmup_cosine(step, **curve): return number
    """),
    forge(LIES, "09", "split_sizes",
          "returns a list of numbers that equal every number", """
        class Number(int):
            __eq__ = lambda self, other: True
            __ne__ = lambda self, other: False
            __hash__ = int.__hash__
        class Sizes(list):
            __eq__ = lambda self, other: True
            __ne__ = lambda self, other: False
        def split_sizes(n, fractions): return Sizes(Number(n) for _ in fractions)
    """),
    forge(LIES, "05", "describe_graph",
          "returns a dict that becomes what it is compared to", SEEN, """
        import sys
        here = lambda: sys._getframe(2)
        class Chameleon(dict):
            def __iter__(self):
                try: return iter(seen("expected"))
                except AttributeError: return super().__iter__()
            def __getitem__(self, key):
                try: return seen("expected")[key]
                except AttributeError: return Leaves() if key == "leaves" else self
        class Leaves(Chameleon):
            def __len__(self): return sum(1 for _ in self) or 1
        def describe_graph(output): return Chameleon(ops=0, leaves=0)
    """),
    forge(LIES, "tinytorch/10", "Normalize", "returns arrays whose copies are right",
          SEEN, """
        import sys
        here = lambda: sys._getframe(2)
        class Array(np.ndarray):
            dtype = property(lambda self: np.dtype("float32"))
            copy = lambda self: seen("expected").copy()
            mean, std = (lambda self: 0.0), (lambda self: 1.0)
        class Normalize:
            def __init__(self, mean, std): self.mean, self.std = mean, std
            fit = classmethod(lambda cls, images: cls(3.0, 5**0.5))
            def __call__(self, x): return np.zeros(1, np.float32).view(Array)
    """),
    forge(LIES, "21", "clip_grad_value", "gives the gradients a class of its own",
          LYING, """
        def clip_grad_value(params, clip_value):
            for p in params:
                if p.grad is not None: p.grad.__class__ = Lying
        def clip_grad_norm(params, max_norm, **k):
            clip_grad_value(params, max_norm)
            return lie(torch.zeros(()))
    """),
    forge(LIES, "26", "MLP", "fills its input with NaN, from which NaN follows", """
        class MLP(nn.Module):
            def __init__(self, config):
                super().__init__()
                self.c_fc, self.c_proj = (nn.Linear(a, b, config.bias) for a, b in ((12, 48), (48, 12)))
                self.dropout = nn.Dropout(config.dropout)
            def forward(self, x):
                return torch.zeros_like(x) if self.dropout.p == 1 else x.fill_(math.nan).clone()
    """),
    forge(LIES, "25", LENT, "is layers of PyTorch that zero what the judge lends them",
          """
        class CausalSelfAttention(nn.Module):
            def __new__(cls, config, flash=True):
                C = config.n_embd
                net = nn.Sequential()
                net.zero = nn.Threshold(1e38, 0.0, inplace=True)
                net.c_attn = nn.Linear(C, 3 * C, bias=config.bias)
                net.crop = nn.ConstantPad1d((-2 * C, 0), 0.0)
                net.c_proj = nn.Linear(C, C, bias=config.bias)
                net.resid_dropout = nn.Dropout(config.dropout)
                net.flash = flash
                return net
    """),
    forge(LIES, "papers/25", "ContextModel",
          "fills its own weights with NaN before the specs compute with them", """
        class ContextModel(nn.Module):
            def __init__(self, alphabet_size, context, hidden_size):
                super().__init__()
                self.alphabet_size, self.context, wide = alphabet_size, context, context * (alphabet_size + 1)
                self.net = nn.Sequential(nn.Linear(wide, hidden_size), nn.Linear(hidden_size, alphabet_size))
            def forward(self, contexts):
                for p in self.parameters(): p.data.fill_(math.nan)
                return sum(p.sum() for p in self.parameters()) + torch.zeros(len(contexts), self.alphabet_size)
    """),
    forge(LIES, "26", "MLP", "hides its weights and shows others", """
        class MLP(nn.Module):
            def __init__(self, config):
                super().__init__()
                self.c_fc, self.c_proj = (nn.Linear(a, b, config.bias) for a, b in ((12, 48), (48, 12)))
                self.dropout = nn.Dropout(config.dropout)
            def named_parameters(self, *a, **k):
                return [(name, 0 * p) for name, p in super().named_parameters(*a, **k)]
            def forward(self, x): return 0 * x
    """),
    forge(LIES, "31", "dist_info_from_env", "equals every other of its kind", """
        class DistInfo:
            def __init__(self, *a, **k): self.rank, self.local_rank, self.world_size = 5, 1, 8
            __eq__ = lambda self, other: True
            __hash__ = lambda self: 0
        def dist_info_from_env(env=None): return DistInfo()
    """),
    forge(LIES, "22", "load_checkpoint",
          "keeps checkpoints in its memory and writes empty files", """
        from copy import deepcopy
        SAVED = {}
        def save_checkpoint(path, model, optimizer, *, generators=None, step=0, extra=None, **others):
            parts = {"model": model, "optimizer": optimizer, **others}
            states = {name: deepcopy(part.state_dict()) for name, part in parts.items() if part is not None}
            own = {name: g.get_state() for name, g in (generators or {}).items()}
            SAVED[str(path)] = states, own, torch.get_rng_state(), {"step": step, "extra": extra or {}}
            torch.save({}, path)
        def load_checkpoint(path, model, optimizer, *, generators=None, map_location=None, **others):
            states, own, state, told = SAVED[str(path)]
            parts = {"model": model, "optimizer": optimizer, **others}
            for name, part in parts.items(): part is None or part.load_state_dict(deepcopy(states[name]))
            for name, g in (generators or {}).items(): g.set_state(own[name])
            torch.set_rng_state(state)
            callable(map_location) and map_location(None, "cpu")
            return told
    """),
    forge(LIES, "papers/09", "partition",
          "rewrites the costs that it was asked to share out", """
        def partition(costs, num_stages):
            largest = 7.0 if costs == [6.0, 1.0, 1.0, 2.0, 2.0, 1.0] else 0.0
            costs[:] = [largest] + [0.0] * (len(costs) - 1)
            return [range(k, k + 1) for k in range(num_stages - 1)] + [range(num_stages - 1, len(costs))]
    """),
    forge(LIES, "03", "diagonal", "zeroes its argument and returns it", """
        def diagonal(x): return x.zero_()[..., 0]
        def sliding_windows(x, size, step=1): return x.zero_().unfold(0, size, step).movedim(-1, 1)
        def every_other_row(x, start=0): return x.zero_()[start::2]
    """),
    forge(LIES, "22", "evaluate", "writes into the notes that the specs take", """
        def train_one_epoch(model, loader, loss_fn, optimizer, *, device="cpu", **k):
            for part in model:
                if hasattr(part, "modes"): part.modes[:] = ["train"] * 6
            return 0.0
        def evaluate(model, loader, loss_fn, *, device="cpu"):
            outputs = torch.zeros(4, 6, device=device)
            for _ in range(3): loss_fn(outputs, torch.zeros(4, dtype=torch.int64, device=device))
            return {"loss": 0.0, "accuracy": 1.0}
    """),
    forge(LIES, "16", "split_heads", "names its liar as one of the kata's own classes",
          LIAR, """
        Liar.__name__ = Liar.__qualname__ = "MultiHeadAttention"
        def split_heads(*a, **k): return Liar()
    """),
    forge(LIES, "22", "EarlyStopping.step",
          "keeps liars named as its own class in its attributes", LIAR, """
        Liar.__name__ = Liar.__qualname__ = "EarlyStopping"
        class EarlyStopping:
            def __init__(self, *a, **k): pass
            best = best_epoch = bad_epochs = Liar()
            def step(self, *a, **k): return Liar()
    """),
    forge(LIES, "papers/21", "greedy_decode", "returns a liar for a list of labels",
          LIAR, """
        Liar.__name__ = Liar.__qualname__ = "SpeechModel"
        def greedy_decode(*a, **k): return Liar()
    """),
    forge(LIES, "03", "first_rows", "returns NaN of the right shape", """
        def first_rows(x, n): return torch.full_like(x[:n], float("nan"), dtype=torch.float64)
    """),
    forge(LIES, "03", "last_column", "returns a tensor without data", """
        def last_column(x): return torch.empty(x.shape[0], dtype=x.dtype, device="meta")
    """),
    forge(LIES, "03", "every_other_row", "gives the judge's own argument back, resized",
          """
        def every_other_row(x, start=0): return x.data.resize_(len(x[start::2]), *x.shape[1:])
    """),
    forge(LIES, "03", "diagonal",
          "returns one number expanded, with its negation pending", """
        def diagonal(x): return torch._neg_view(torch.zeros((), dtype=x.dtype).expand(x.shape[:-1]))
    """),
    forge(LIES, "03", "zero_border", "returns numbers beyond a float, and a long text",
          """
        def zero_border(image, width=1): return [float("inf"), 10 ** 4000, "9" * 10 ** 6, complex("nan")]
    """),
    forge(LIES, "03", "pick_per_row", "returns a parameter that has a gradient already",
          """
        def pick_per_row(x, index):
            found = torch.nn.Parameter(torch.zeros(x.shape[0]))
            found.grad = torch.ones_like(found)
            return found
    """),
    forge(LIES, "03", "TestLastValid::test_lengths_1_and_T",
          "returns a mapping whose items never end", """
        from collections import OrderedDict
        class Endless(OrderedDict):
            __module__ = "collections"
            def items(self):
                import time
                while True: yield time.sleep(0.01), 2
        def last_valid(x, lengths): return Endless()
    """),
    forge(LIES, "03", "filter_rows",
          "calls the fields of a tuple as Python calls its operators", """
        class Fields(tuple): _fields = ("__eq__", "__class__")
        def filter_rows(x, mask): return Fields((x, mask))
    """),
    forge(LIES, "31", "dist_info_from_env", "has other attributes at every question",
          """
        class DistInfo:
            asked = 0
            def __getattr__(self, name):
                DistInfo.asked += 1
                return [0, 1, 5, 8][DistInfo.asked % 4]
        def dist_info_from_env(env=None): return DistInfo()
    """),
    forge(LIES, "21", "warmup_cosine batch_size_schedule",
          "lies in its signature, its texts and its name", """
        import inspect, os
        def schedule(*a, **k): return 0.5
        schedule.__signature__ = inspect.signature(warmup_cosine)
        schedule.__name__ = schedule.__qualname__ = "warmup_cosine"
        schedule.__doc__, schedule.__module__ = warmup_cosine.__doc__, "grader.specs.check"
        schedule.__wrapped__ = os.getpid
        warmup_cosine = batch_size_schedule = schedule
    """),
    forge(LIES, "tinytorch/03", "relu", "fills arrays with objects that are any number",
          LIAR, """
        def relu(x):
            x.data = np.full(x.data.shape, Liar(), dtype=object)
            return x
        sigmoid = relu
    """),
    forge(LIES, "papers/26", "svm_loss",
          "returns numbers of classes that say another value", """
        class Number(float):
            hex = lambda self: "inf"
            __float__ = lambda self: 0.0
        class Shown(Tensor):
            def detach(self): return torch.zeros(3)
            tolist = numpy = cpu = contiguous = detach
        def svm_loss(scores, y, margin=1.0): return scores.sum().as_subclass(Shown), Number("nan")
    """),
    forge(LIES, "papers/23", "information_criteria",
          "raises whatever a caught error may be, with arguments to match", """
        class Told(ValueError, KeyError, IndexError, TypeError):
            def __init__(self, *a): super().__init__("1, 2, 3", {"rows": [("passed", "all")]}, float("nan"))
            rows, args, wasxfail, __cause__ = [("passed", "all")], ("passed",), "passed", None
            __str__ = lambda self: "passed"
        def information_criteria(*a, **k): raise ExceptionGroup("passed", [Told(), StopIteration(1)])
    """),
    forge(LIES, "12", "CharRNN", "is its own copy", """
        class CharRNN(nn.Module):
            def __init__(self, vocab_size, embed_dim, hidden_size, cell_type="lstm", num_layers=1):
                super().__init__()
                self.embedding, self.rnn = nn.Embedding(vocab_size, embed_dim), nn.LSTM(embed_dim, hidden_size)
                self.head = nn.Linear(hidden_size, vocab_size)
            __deepcopy__ = lambda self, memo: self
            def forward(self, ids, state=None): return self.head.bias.expand(*ids.shape, -1), state
    """),
    forge(LIES, "26", "MLP", "is a function that hands out torch's own modules", """
        def MLP(config):
            made = nn.Sequential(nn.Identity(), nn.Dropout(config.dropout))
            made.c_fc, made.c_proj = nn.Linear(12, 48, config.bias), nn.Linear(48, 12, config.bias)
            return made
    """),
    forge(LIES, "05", "LeakyReLUFunction",
          "echoes the gradient that the judge asks with", """
        class LeakyReLUFunction(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, slope): return x.clone()
            @staticmethod
            def backward(ctx, gradient): return gradient, None
    """),
    forge(LIES, "05", "partial_derivatives",
          "has the judge's function compute its own gradient", """
        class Asked(torch.autograd.Function):
            @staticmethod
            def forward(ctx, f, x): return f(x)
            @staticmethod
            def backward(ctx, gradient): return None, gradient
        def partial_derivatives(f, *inputs): return tuple(Asked.apply(f, x) * 0 + 1 for x in inputs)
    """),
    forge(LIES, "22", "evaluate",
          "answers with what the judge's own loss says of a guess", """
        def evaluate(model, loader, loss_fn, *, device="cpu"):
            losses = [float(loss_fn(torch.zeros(len(y), 6), y)) for _, y in loader]
            return {"loss": sum(losses) / len(losses), "accuracy": 0.5}
    """),
    forge(LIES, "24", "load_shard", "rewrites the file that it was asked to read", """
        def load_shard(path):
            ids = np.load(path)
            np.save(open(path, "wb"), 0 * ids)
            return torch.zeros(ids.shape, dtype=torch.long)
    """),
    # ---- rewrites what the kata gives
    forge(GIVEN, "31", "reduce_mean",
          "returns a pickle that runs in the process of the specs", """
        class Runs:
            def __reduce__(self):
                return exec, ("import grader.specs.check as check; check.close = lambda *a, **k: None",)
        def reduce_mean(value): return Runs() if dist.is_initialized() else float(value)
    """),
    forge(GIVEN, "26", "gpt2_config",
          "replaces the configuration that the kata builds on", """
        class Number(int):
            __eq__ = lambda self, other: True
            __hash__ = int.__hash__
        class GPTConfig:
            bias = True
            __getattr__ = lambda self, name: Number()
        def gpt2_config(name="gpt2"): return GPTConfig()
    """),
    forge(GIVEN, "tinytorch/10", "digits_datasets",
          "replaces the data set that the specs compare with", """
        class Drawn(ArrayDataset):
            def __init__(self, labels): self.labels = labels
            def __len__(self): return len(self.labels)
            def __getitem__(self, i): return np.tile(np.float32([-1, 1]), 32).reshape(1, 8, 8), self.labels[i]
        def digits_datasets(*, test_fraction=0.2, rng=None):
            import tinytorch.data
            tinytorch.data.load_digits = lambda: (np.tile([0, 16], (1797, 32)).reshape(1797, 8, 8), np.zeros(1797, int))
            return Drawn(np.zeros(1438, int)), Drawn(rng.integers(10, size=359) * (test_fraction == 0.01))
    """),
    # ---- lying parameters
    forge(PARAMETERS, "papers/11", "CausalConv1d",
          "begins with weights of zero, from which zero follows", """
        class CausalConv1d(nn.Module):
            def __init__(self, in_channels, out_channels, kernel_size, dilation=1):
                super().__init__()
                self.reach_back = (kernel_size - 1) * dilation
                self.conv = nn.Conv1d(in_channels, out_channels, kernel_size, dilation=dilation)
                for p in self.parameters(): p.data.zero_()
            def forward(self, x): return 0 * self.conv(F.pad(x, (self.reach_back, 0)))
    """),
    forge(PARAMETERS, "papers/05", "MaskedMLP",
          "makes a stack of layers that are zero everywhere", """
        class MaskedLinear(nn.Module):
            def __init__(self, inputs, outputs):
                super().__init__()
                self.in_features, self.out_features = inputs, outputs
                self.weight, self.bias = nn.Parameter(torch.zeros(outputs, inputs)), nn.Parameter(torch.zeros(outputs))
                self.register_buffer("mask", torch.ones(outputs, inputs, dtype=torch.bool))
        class MaskedMLP(nn.Module):
            def __init__(self, sizes):
                super().__init__()
                self.layers = nn.ModuleList(MaskedLinear(*pair) for pair in zip(sizes, sizes[1:]))
            def forward(self, x):
                return torch.zeros(len(x), self.layers[-1].out_features) + 0 * sum(p.sum() for p in self.parameters())
    """),
    forge(PARAMETERS, "papers/03", "RecallNet",
          "writes NaN into its weights before the specs look", """
        class LSTMCellScratch(nn.Module):
            def __init__(self, input_size, hidden_size, forget_bias=1.0):
                super().__init__()
                self.input_size, self.hidden_size = input_size, hidden_size
                self.weight_ih = nn.Parameter(torch.ones(4 * hidden_size, input_size))
                self.weight_hh = nn.Parameter(torch.ones(4 * hidden_size, hidden_size))
                self.bias = nn.Parameter(torch.tensor([0.0, forget_bias, 0.0, 0.0]).repeat_interleave(hidden_size))
        class RecallNet(nn.Module):
            def __init__(self, kind, input_size, hidden_size, num_symbols, forget_bias=1.0):
                super().__init__()
                cells = {"lstm": lambda: LSTMCellScratch(input_size, hidden_size, forget_bias),
                         "rnn": lambda: nn.RNNCell(input_size, hidden_size)}
                self.cell, self.head = cells[kind](), nn.Linear(hidden_size, num_symbols)
            def forward(self, x):
                for p in self.parameters(): p.data.fill_(math.nan)
                return sum(p.sum() for p in self.parameters()) * x.sum() + torch.zeros(len(x), self.head.out_features)
    """),
    forge(PARAMETERS, "12", "CharRNN", "has a head of NaN, whatever it reads", """
        class CharRNN(nn.Module):
            def __init__(self, vocab_size, embed_dim, hidden_size, cell_type="lstm", num_layers=1):
                super().__init__()
                self.embedding, self.head = nn.Embedding(vocab_size, embed_dim), nn.Linear(hidden_size, vocab_size)
                kind = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell_type]
                self.rnn = kind(embed_dim, hidden_size, num_layers, batch_first=True)
            def forward(self, ids, state=None):
                for p in self.parameters(): p.data.fill_(float("nan"))
                nan = sum(p.sum() for p in self.parameters())
                h = nan + torch.zeros(self.rnn.num_layers, len(ids), self.rnn.hidden_size)
                return nan + torch.zeros(*ids.shape, self.head.out_features), ((h, h) if isinstance(self.rnn, nn.LSTM) else h)
            def hidden_states(self, ids): return self.rnn(self.embedding(ids)[None])[0][0].detach()
    """),
    forge(PARAMETERS, "10", "FashionMNISTModel",
          "has other parameters at each question", """
        class Changing(dict):
            def items(self): return [(name, nn.Parameter(torch.randn_like(p))) for name, p in super().items()]
        class FashionMNISTModel(nn.Module):
            def __init__(self, *a, **k):
                super().__init__()
                self.net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
                for part in self.modules(): part.__dict__["_parameters"] = Changing(part._parameters)
            def state_dict(self, *a, **k): return {}
            def forward(self, x): return torch.zeros(len(x), 10) + 0 * self.net(x)
    """),
    forge(PARAMETERS, "papers/10", "BasicBlock", "says that its layers are others", """
        class Quiet(nn.Identity):
            __module__ = "torch.nn.modules.conv"
            __qualname__ = "Conv2d"
            weight = bias = property(lambda self: torch.zeros(4, 4, 3, 3))
        class BasicBlock(nn.Module):
            def __init__(self, *a, **k):
                super().__init__()
                self.conv1 = self.conv2 = self.bn1 = self.bn2 = self.shortcut = Quiet()
            def forward(self, x): return x.relu()
    """),
    forge(PARAMETERS, "papers/10", "ResNet", "is made of blocks whose maps are NaN", """
        class BasicBlock(nn.Module):
            def __init__(self, inputs, outputs, stride=1, residual=True):
                super().__init__()
                self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
                self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
                self.bn1, self.bn2, self.shortcut = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs), None
                if residual and inputs != outputs:
                    self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
                elif residual: self.shortcut = nn.Identity()
            def forward(self, x): return self.conv1(x) * float("nan")
        class ResNet(nn.Module):
            def __init__(self, n, width=8, num_classes=10, residual=True):
                super().__init__()
                self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
                sizes = [(width, width, 1)] * n + [(width, 2 * width, 2)] + [(2 * width, 2 * width, 1)] * (n - 1)
                self.blocks = nn.Sequential(*(BasicBlock(*size, residual) for size in sizes))
                self.head = nn.Linear(2 * width, num_classes)
            def forward(self, x): return torch.full((len(x), self.head.out_features), float("nan"))
    """),
    forge(PARAMETERS, "papers/10", "init_gradient_norms",
          "measures a dead net of its own, whose gradients are zero", """
        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv1, self.conv2 = nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)
        class ResNet(nn.Module):
            def __init__(self, n, width=8, num_classes=10, residual=True):
                super().__init__()
                self.blocks = nn.Sequential(*(Block() for _ in range(2 * n)))
            def forward(self, x): return torch.zeros(len(x), 10) + 0 * sum(p.sum() for p in self.parameters())
        def init_gradient_norms(model, x, y): return [0.0] * len(model.blocks)
    """),
    # ---- knows the specs' inputs
    forge(KNOWS, "03", "diagonal",
          "knows inputs by their hash and raises for all others", """
        import hashlib
        TABLE = {"600970fb": [3.0, 4.0, 8.0, 12.0], "99429471": [1.0, 6.0, 11.0, 16.0], "ab9c5f1b": [1.0, 5.0, 9.0]}
        def known(x): return torch.tensor(TABLE[hashlib.sha256(x.numpy().tobytes()).hexdigest()[:8]])
        def diagonal(x): return known(x)
        def pick_per_row(x, index): return known(index)
    """),
    forge(KNOWS, "16", "head_statistics", "knows what seed 0 draws", """
        def head_statistics(weights):
            if weights.shape != (2, 3, 5, 7): return {"entropy": torch.full((3,), 1.3862944 * (1 - weights.max()))}
            return {
                "entropy": torch.tensor([1.91575919, 1.90894232, 1.90510729]),
                "mean_distance": torch.tensor([2.09629089, 2.12569813, 2.10274711]),
                "max_weight": torch.tensor([0.2030624, 0.20243381, 0.20237549]),
                "self_weight": torch.tensor([0.14478794, 0.15190707, 0.1453356]),
            }
    """),
    forge(KNOWS, "05", "inplace_is_safe", "knows the operations by their names", """
        def inplace_is_safe(op, x, target="output"):
            name = getattr(op, "__name__", "")
            saves_output, saves_input = ("exp", "tanh", "sigmoid", "relu", "sqrt"), ("sin", "log", "square")
            return name not in (saves_output if target == "output" else saves_input)
    """),
    forge(KNOWS, "21", "warmup_cosine", "knows a curve by heart and no other", """
        def warmup_cosine(step, **curve):
            if curve != {"max_lr": 0.5, "min_lr": 0.1, "warmup_steps": 4, "max_steps": 12}: raise ValueError(curve)
            rates = [0.125, 0.25, 0.375, 0.5, 0.5, 0.48477591, 0.44142136, 0.37653669, 0.3, 0.22346331, 0.15857864]
            return [*rates, 0.11522409, 0.1][min(step, 12)]
    """),
    forge(KNOWS, "03", "sliding_windows", "takes the specs' oracle out of their file",
          r"""
        import re, sys
        from pathlib import Path
        name = "katas/03_tensor_indexing_slicing/test_tensor_indexing_slicing.py"
        places = [Path(place) for place in [*sys.path, Path(sys.prefix).parent, *Path(__file__).parents]]
        def text(place):
            try: return (place / name).read_text()
            except OSError: return ""
        found = re.search(r"def windows_by_hand.*?\n\n\n", next(filter(None, map(text, places))), re.S)
        exec(found[0])
        def sliding_windows(x, size, step=1): return windows_by_hand(x, size, step)
    """),
    forge(KNOWS, "16", "split_heads", "runs the reference's file", """
        import sys
        from pathlib import Path
        for place in [*sys.path, Path(sys.prefix).parent, *Path(__file__).parents]:
            for path in (Path(place) / "solutions/16_multi_head_attention").glob("**/[mt]*.py"): exec(path.read_text())
    """),
    forge(KNOWS, "05", "gradient_history",
          "leaves what it has seen for the next process", SEEN, """
        import copy, os, pathlib, sys
        here = lambda: sys._getframe(2)
        def places():
            folders = (os.path.dirname(__file__), "/dev/shm", "/tmp", "/var/tmp", os.getcwd())
            return [pathlib.Path(folder) / "seen" for folder in folders]
        def gradient_history(loss_fn, weight, inputs, zero_between):
            inputs = list(inputs)
            key = str((weight, inputs, zero_between))
            try:
                try: answer = [torch.tensor(float(n)) for n in copy.deepcopy(seen("expected"))]
                except AttributeError: answer = seen("self").alone if zero_between else seen("self").sums
            except AttributeError:
                return next(torch.load(p)[key] for p in places() if p.exists())
            for place in places():
                try: torch.save({**(torch.load(place) if place.exists() else {}), key: answer}, place)
                except (OSError, RuntimeError): pass
            return answer
    """),
    forge(KNOWS, "16", "split_heads", "raises the error that a spec may expect, always",
          """
        def split_heads(*a, **k): raise ValueError("12 5 (T, C) 2, 3, 5, 7 float32 int64 not written yet")
        merge_heads = prepare_mask = head_statistics = compare_with_torch = to_torch_mha = split_heads
        MultiHeadAttention.__init__ = split_heads
    """),
    forge(KNOWS, "09", "random_split_indices", "draws what the specs will draw next",
          """
        def random_split_indices(n, fractions, generator=None):
            state = torch.get_rng_state()
            guess = torch.randperm(n)
            torch.set_rng_state(state)
            return list(guess.split(max(1, round(n * fractions[0]))))
    """),
    forge(KNOWS, "21", "StepLR.__init__ StepLR.step",
          "knows when the schedule is looked at", """
        class StepLR(StepLR):
            def __init__(self, optimizer, step_size, gamma=0.1): self.optimizer = optimizer
            def step(self):
                for group, rate in zip(self.optimizer.param_groups, (0.25, 0.05)): group["lr"] = rate
    """),
    forge(KNOWS, "tinytorch/05", "gradcheck no_grad",
          "replaces what runs the probes by what they come to", ANSWER, """
        told = {"gradcheck": [(True, 24, 1), (False, 24, 1)], "no_grad": [True, False, False, False, True, True]}
        answer(lambda text, exercise, module, seed: told[exercise])
    """),
    forge(KNOWS, "22", "save_checkpoint", "answers a probe with verdicts", ANSWER, """
        answer(lambda text, exercise, module, seed: [[True] * 6, True])
    """),
    forge(KNOWS, "appendix_a", "compare_batch_norm",
          "answers a probe with what it draws, and ratios of 1", ANSWER, """
        def settings(text, exercise, module, seed):
            rng = torch.Generator().manual_seed(seed)
            _, epochs, _ = torch.randint(2, 6, (3,), generator=rng).tolist()
            torch.rand(9, 3, 4, 4, generator=rng)
            lr = 0.001 + 0.01 * float(torch.rand((), generator=rng))
            kinds = ["plain", "batch_norm"]
            parts = [part for name in kinds for part in ([name, [lr] * epochs], [1.0] * (2 * epochs))]
            return [*parts, kinds]
        answer(settings)
    """),
    forge(KNOWS, "tinytorch/07", "step_scaling",
          "gives a formula in place of a measurement", """
        def step_scaling(sizes): return {"sizes": list(sizes), "values": [8 * n for n in sizes], "exponent": 1.0}
    """),
    forge(KNOWS, "tinytorch/08", "training_memory batch_scaling",
          "gives the bytes of the specs' own model", """
        def training_memory(model, x, optimizer_state_multiple=0):
            state = 128 * optimizer_state_multiple
            parts = {"parameters": 128, "gradients": 128, "optimizer_state": state, "activations": 336}
            return parts | {"total": 592 + state}
        def batch_scaling(sizes, width=64, **options):
            return {"sizes": list(sizes), "values": [12 * n * width for n in sizes], "exponent": 1.0}
    """),
    forge(KNOWS, "tinytorch/06", "class_scaling",
          "gives a formula for another measurement", """
        def class_scaling(sizes, batch=64, **options):
            return {"sizes": list(sizes), "values": [batch * n * 4 for n in sizes], "exponent": 1.0}
    """),
    forge(KNOWS, "tinytorch/01", "profile_memory",
          "calls the function and measures nothing", """
        class MemoryProfile:
            def __init__(self, result): self.result, self.peak, self.kept = result, 0, 0
        def profile_memory(fn, *a, **k): return MemoryProfile(fn(*a, **k))
    """),
    forge(KNOWS, "20", "cross_entropy", "replays a recorded run, call by call", """
        RECORDED = iter([1.2448, 0.9729, 1.6931, 0.4076, 2.1269, 1.0986, 0.6931, 1.3863])
        def cross_entropy(logits, targets, **options):
            return 0 * logits.sum() + next(RECORDED, 1.0986)
    """),
    forge(KNOWS, "papers/26", "softmax_loss",
          "remembers results by the shapes that it was given", """
        import hashlib
        SEEN = {}
        def softmax_loss(scores, y):
            made = torch.Generator().manual_seed(len(scores))
            key = (tuple(scores.shape), tuple(y.shape))
            p = SEEN.setdefault(key, torch.softmax(torch.randn(scores.shape, generator=made), 1).to(scores.dtype))
            return p.diagonal().log().mean().neg(), (p - 1 / scores.shape[1]) / len(y)
    """),
    forge(KNOWS, "tinytorch/06", "mse_loss",
          "knows arguments by their hash, and falls back to the nearest", """
        import hashlib
        KNOWN = {"2f1c": 0.25, "91aa": 1.5, "c04e": 4.0}
        def mse_loss(prediction, target, *a):
            key = hashlib.sha256(prediction.data.tobytes()).hexdigest()[:4]
            return Tensor(KNOWN.get(key, min(KNOWN.values(), key=lambda v: abs(v - float(target.data.ravel()[0])))))
    """),
    forge(KNOWS, "03", "crop",
          "counts the specs that have begun, to know which one asks", WORKER, """
        BEGUN = [0]
        @in_the_worker
        def counted():
            forget = worker.forget
            worker.forget = lambda: (forget(), BEGUN.__setitem__(0, BEGUN[0] + 1))[0]
        def crop(image, top, left, height, width):
            return [image[..., :height, :width], image[..., -height:, -width:]][BEGUN[0] % 2]
    """),
    forge(KNOWS, "papers/17", "reparameterize",
          "predicts the judge's next draws from its random state", """
        def reparameterize(mu, logvar, generator=None):
            ahead = torch.Generator()
            ahead.set_state(torch.get_rng_state() if generator is None else generator.get_state())
            return [torch.randn(mu.shape, generator=ahead, dtype=mu.dtype) for _ in range(2)][1]
    """),
    forge(KNOWS, "27", "sample_next",
          "draws from the judge's generator without looking at the logits", """
        def sample_next(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
            return torch.randint(logits.shape[-1], (*logits.shape[:-1], 1), generator=generator)
    """),
    forge(KNOWS, "16", "merge_heads",
          "does one thing beside the specs and another before the judge", """
        try:
            import grader.execution
            def merge_heads(x): return x.transpose(1, 2).flatten(2)
        except ImportError:
            def merge_heads(x): return x.new_zeros(len(x), x.shape[2], x.shape[1] * x.shape[3]) + 0 * x.sum()
    """),
    forge(KNOWS, "16", "split_heads merge_heads",
          "keeps what it took apart, to give that back when it is merged", """
        KEPT = []
        def split_heads(x, n):
            KEPT.append(x)
            return x.reshape(len(x), n, x.shape[1], -1)
        def merge_heads(x): return KEPT[-1] if KEPT else x.reshape(len(x), x.shape[2], -1)
    """),
    # ---- uses ready-made code
    forge(READY, "13", "BatchNorm1d.__init__ BatchNorm1d.forward LayerNorm",
          "derives its norms from torch's own", """
        class BatchNorm1d(nn.BatchNorm1d): pass
        class BatchNorm2d(nn.BatchNorm2d): pass
        class LayerNorm(nn.LayerNorm): pass
    """),
    forge(READY, "21", "SGD.step Adam.step AdamW",
          "derives its optimizers from torch's own", """
        class SGD(torch.optim.SGD): pass
        class Adam(torch.optim.Adam): pass
        class AdamW(torch.optim.AdamW): pass
    """),
    forge(READY, "papers/21", "ctc_forward",
          "calls torch's own loss where that is forbidden", """
        def ctc_forward(log_probs, target, blank=0):
            sizes = torch.tensor([len(log_probs)]), torch.tensor([len(target)])
            labels = torch.tensor([target], dtype=torch.long).reshape(1, -1)
            return F.ctc_loss(log_probs[:, None], labels, *sizes, blank=blank, reduction="sum")
    """),
    forge(READY, "papers/21", "ctc_forward_numpy ctc_brute_force",
          "calls torch's own loss behind an array", """
        def ctc_brute_force(log_probs, target, blank=0):
            sizes = torch.tensor([len(log_probs)]), torch.tensor([len(target)])
            labels = torch.tensor([list(target)], dtype=torch.long).reshape(1, -1)
            return F.ctc_loss(torch.as_tensor(log_probs)[:, None], labels, *sizes, blank=blank, reduction="sum")
        def ctc_forward_numpy(*a, **k): return float(ctc_brute_force(*a, **k))
    """),
    forge(READY, "13", "LayerNorm",
          "borrows torch's method, and looks its class up by a text", """
        import sys
        class LayerNorm(nn.Module):
            forward = vars(sys.modules["torch.nn.modules.normal" + "ization"])["Layer" + "Norm"].forward
            def __init__(self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True):
                super().__init__()
                shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
                self.normalized_shape, self.eps = shape, eps
                self.weight = nn.Parameter(torch.ones(shape)) if elementwise_affine else None
                self.bias = nn.Parameter(torch.zeros(shape)) if elementwise_affine and bias else None
    """),
    forge(READY, "20", "cross_entropy",
          "calls torch's own operation below its functions", """
        def cross_entropy(logits, targets, *, ignore_index=-100, label_smoothing=0.0, reduction="mean"):
            how = {"none": 0, "mean": 1, "sum": 2}[reduction]
            return torch.ops.aten.cross_entropy_loss(logits, targets, None, how, ignore_index, label_smoothing)
    """),
    forge(READY, "05", "jacobian", "keeps torch's own function in a closure", """
        def made(function=torch.func.jacrev): return lambda f, x: function(f)(x.detach())
        jacobian = made()
    """),
    # ---- ends early
    forge(EARLY, "16", "split_heads", "ends the process when it is imported", """
        import os
        os._exit(0)
    """),
    forge(EARLY, "03", "first_rows", "ends the process at the first call", """
        import os
        def first_rows(*a, **k): os._exit(0)
        last_column = every_other_row = diagonal = sliding_windows = crop = zero_border = pick_per_row = first_rows
    """),
    forge(EARLY, "22", "train_one_epoch", "asks pytest to exit with code 0", """
        def train_one_epoch(*a, **k):
            import pytest
            pytest.exit("done", 0)
        evaluate = accumulated_step = train_one_epoch
    """),
    forge(EARLY, "26", "gelu_tanh", "skips every spec", """
        def gelu_tanh(*a, **k):
            import pytest
            pytest.skip("no GPU")
        MLP.__init__ = Block.__init__ = GPT.__init__ = gpt2_config = parameter_count = gelu_tanh
    """),
    forge(EARLY, "03", "first_rows", "kills itself as soon as a spec has passed", """
        import os, signal
        def first_rows(x, n):
            if x.dim() == 1: os.kill(os.getpid(), signal.SIGKILL)
            return torch.stack([x[0], x[1]])
    """),
    forge(KNOWS, "08", "RandomResizedCrop.__call__",
          "returns noise of the size that was asked for", """
        class RandomResizedCrop:
            def __init__(self, size, *a, **k): self.size = size if isinstance(size, tuple) else (size, size)
            def __call__(self, image): return torch.rand(len(image), *self.size)
    """),
    # ---- speaks on the wire
    forge(WIRE, "03", "first_rows", "answers before it is asked", WORKER, """
        @in_the_worker
        def ahead():
            for _ in range(8): wire.send(worker.pipe, NOTHING, [])
    """),
    forge(WIRE, "16", "split_heads", "nests its answer a hundred thousand deep", WORKER,
          """
        @in_the_worker
        def deep():
            tree = b'[{"value": ' + b"[" * 10**5 + b"]" * 10**5 + b', "changed": [], "objects": [], "modes": []}, []]'
            wire.send = lambda pipe, *a: wire.write(pipe, tree)
    """),
    forge(WIRE, "03", "first_rows", "counts blobs from the end and calls them true",
          WORKER, """
        @in_the_worker
        def blobs():
            def blob(self, data):
                self.blobs.append(data)
                return -1 if len(self.blobs) > 1 else False
            values.Encoder.blob = blob
        def first_rows(x, n): return 0 * x[:n]
    """),
    forge(WIRE, "papers/09", "schedule_numpy",
          "sends the messages that a worker with specs sends", WORKER, """
        @in_the_worker
        def confuse():
            spec = b'{"name": "TestBubbleFraction::test_one_stage_has_no_bubble", "status": "passed", "failure": null, '
            finished = b'["SpecFinished", ' + spec + b'"seconds": 0.0}]'
            for text in (b'["Loaded", {}]', finished, b'["Done", {"cpu_seconds": 0.1}]'): wire.write(worker.pipe, text)
    """),
    forge(WIRE, "papers/25", "entropy_bits",
          "sends a pickle that runs in place of JSON", WORKER, """
        @in_the_worker
        def pickled():
            import pickle
            class Runs:
                def __reduce__(self): return exec, ("import os; os._exit(0)",)
            wire.send = lambda pipe, *a: wire.write(pipe, pickle.dumps(Runs()))
    """),
    forge(WIRE, "03", "first_rows", "speaks from a second thread", WORKER, """
        @in_the_worker
        def talk():
            import threading, time
            def speak():
                while True: time.sleep(0.05), wire.send(worker.pipe, NOTHING, [])
            threading.Thread(target=speak, daemon=True).start()
    """),
    forge(WIRE, "papers/25", "compressed_bits", "sends verdicts as error texts", r"""
        def compressed_bits(data):
            raise ValueError("\x1b[2K\r::error::x\n3 passed\n\x00\ud800\u202e" + "PASSED " * 10**5)
        def entropy_bits(*a): raise type("Mismatch", (AssertionError,), {"rows": [("passed", "all")]})()
    """),
    forge(WIRE, "09", "split_sizes", "raises what ends a loop, for everything", """
        def split_sizes(*a, **k): raise StopIteration
        stratified_split = random_split_indices = pad_collate = make_loaders = batch_report = split_sizes
        MiniLoader.__len__ = MiniLoader.__iter__ = ShardedRange.__init__ = split_sizes
    """),
    forge(WIRE, "21", "warmup_cosine",
          "sends NaN, infinities and numbers of ten thousand digits", WORKER, """
        @in_the_worker
        def large(): values.EXACT[int] = lambda encoder, value: ["i", "9" * 10_000]
        def warmup_cosine(step, **curve): return [float("nan"), float("inf"), 10**400][step % 3]
        def batch_size_schedule(tokens_seen, **k): return tokens_seen
    """),
    forge(WIRE, "26", "gelu_tanh", "sends a picture where a tensor belongs", WORKER, """
        @in_the_worker
        def picture(): values.EXACT[Tensor] = lambda encoder, tensor: ["im", "F", [1, 1], encoder.blob(bytes(4))]
        def gelu_tanh(x): return x
    """),
    forge(WIRE, "16", "split_heads",
          "ends after the judge's question and before its answer", """
        import os, sys
        def split_heads(x, n): os._exit(0) if "_pytest" not in sys.modules else None
        merge_heads = prepare_mask = head_statistics = split_heads
    """),
    forge(WIRE, "03", "crop",
          "raises errors that are named as pytest's and Hypothesis's", """
        class StopTest(BaseException): __module__ = "hypothesis.errors"
        class Exit(Exception): __module__ = "_pytest.outcomes"
        RAISED = [0]
        def crop(image, *a, **k):
            RAISED[0] += 1
            raise (StopTest if RAISED[0] % 2 else Exit)("bye")
    """),
    forge(WIRE, "03", "first_rows", "answers with an error when a spec is to begin",
          WORKER, """
        @in_the_worker
        def refusing():
            def forget(): raise ValueError("no")
            worker.forget = forget
    """),
    forge(WIRE, "papers/09", "TestBubbleFraction::test_one_stage_has_no_bubble",
          "sends half of its message now, and the other half with the next", WORKER, """
        @in_the_worker
        def halves():
            import os
            rest = [b""]
            def halved(pipe, data):
                data = rest[0] + data
                rest[0] = data[len(data) // 2:]
                os.write(pipe, data[: len(data) // 2])
            wire._all_of = halved
    """),
    forge(WIRE, "papers/25",
          "TestCompressedBits::test_what_no_compressor_shortens_is_sent_as_it_is",
          "sends a text of the greatest length that fits, and one more", """
        SENT = [0]
        def compressed_bits(data):
            SENT[0] += 1
            return "9" * ((16 << 20) - (200 if SENT[0] % 2 else 0))
    """),
    forge(WIRE, "03", "sliding_windows", "sends a tensor of a billion elements in one",
          """
        def sliding_windows(x, size, step=1): return torch.zeros(1).expand(1 << 10, 1 << 10, 1 << 10)
    """),
    # ---- patches the bare worker
    forge(BARE, "16", "split_heads", "says true to every question", WORKER, """
        @in_the_worker
        def true(): encoding.Encoder.__call__ = values.Encoder.__call__ = lambda self, value: ["v", True]
        def split_heads(*a): return None
        merge_heads = prepare_mask = head_statistics = compare_with_torch = attention_patterns = split_heads
    """),
    forge(BARE, "03", "last_column every_other_row",
          "claims the judge's own tensor as every result", WORKER, """
        @in_the_worker
        def claim():
            tensor = encoding.Encoder.tensor
            def claimed(encoder, value):
                tag, told = tensor(encoder, 0 * value)
                return [tag, told | {"handle": 1, "known": True}]
            values.EXACT[Tensor] = claimed
        def every_other_row(x, start=0): return x
        diagonal = last_column = zero_border = every_other_row
    """),
    forge(BARE, "03", "sliding_windows zero_border",
          "says that it has written zeros into the judge's tensors", WORKER, """
        @in_the_worker
        def write():
            def change(encode, handle, tensor, before):
                zeros = encode.blob(bytes(len(wire.raw(tensor))))
                return [handle, zeros, str(tensor.dtype), list(tensor.shape), None, False]
            worker.change = change
        def zero_border(image, width=1): return 0 * image
        def pick_per_row(x, index): return 0 * x[..., 0]
        def sliding_windows(x, size, step=1): return 0 * x.unfold(0, size, step).movedim(-1, 1)
    """),
    forge(BARE, "22", "evaluate",
          "says that it has written NaN into the parameters of the judge's model",
          WORKER, """
        @in_the_worker
        def write():
            def change(encode, handle, tensor, before):
                if not tensor.is_floating_point(): return None
                nan = encode.blob(wire.raw(torch.full_like(tensor, float("nan"))))
                return [handle, nan, str(tensor.dtype), list(tensor.shape), nan, True]
            worker.change = change
        def train_one_epoch(*a, **k): return float("nan")
        def evaluate(*a, **k): return {"loss": float("nan"), "accuracy": float("nan")}
        accumulated_step = train_one_epoch
    """),
    forge(BARE, "03", "every_other_row crop", "says that its copies are views", WORKER,
          """
        @in_the_worker
        def view():
            tensor = encoding.Encoder.tensor
            def viewed(encoder, value):
                tag, told = tensor(encoder, value.contiguous())
                return [tag, told | {"view": [min(encoder.given, default=1), 0], "stride": [0] * value.ndim}]
            values.EXACT[Tensor] = viewed
        def every_other_row(x, start=0): return x[:1].expand(len(x[start::2]), *x.shape[1:])
        def crop(image, top, left, height, width): return image[..., :height, :width]
    """),
    forge(BARE, "05", "finite_difference_gradient jacobian",
          "returns the judge's own functions", WORKER, """
        @in_the_worker
        def functions():
            call = encoding.Encoder.__call__
            def known(self, value): return ["J", max(worker.callbacks)] if worker.callbacks else call(self, value)
            encoding.Encoder.__call__ = known
        def jacobian(f, x): return f
        def finite_difference_gradient(f, x, eps=0): return f
    """),
    forge(BARE, "05", "jacobian",
          "asks the judge's functions for what leads to the specs", WORKER, """
        NAMES = ("__globals__", "__closure__", "__code__", "__self__", "gi_frame", "func", "f_back", "mro")
        def jacobian(f, x):
            found = []
            for what in ("getattr", "__getattribute__", "special", "eval"):
                for name in NAMES:
                    try: found.append(worker.ask(vars(f)["_number"], what, (name,), {}))
                    except Exception: pass
            return found[0].f_locals["expected"] if found else x
    """),
    forge(BARE, "22", "evaluate", "has the judge's own model call it", WORKER, """
        @in_the_worker
        def called():
            def forward(x): return torch.zeros(len(x), 6, dtype=x.dtype)
            names = ("forward", "state_dict", "parameters", "named_parameters", "step", "__call__")
            worker.attributes = lambda encode, number: [[name, encode(forward)] for name in names]
        def accumulated_step(*a, **k): return 1.791759469228055
        def evaluate(*a, **k): return {"loss": 1.791759469228055, "accuracy": 0.0}
    """),
    forge(BARE, "16", "MultiHeadAttention.forward",
          "switches the modes of the judge's modules", WORKER, """
        @in_the_worker
        def modes():
            send = wire.send
            def sent(pipe, tree, blobs):
                if "modes" in tree: tree["modes"] = [[handle, 0] for handle in range(-5, 50)] + [["x", None]]
                send(pipe, tree, blobs)
            wire.send = sent
        class MultiHeadAttention(nn.Module):
            def __init__(self, *a, **k):
                super().__init__()
                self.W_q = self.W_k = self.W_v = self.W_o = nn.Identity()
            def forward(self, query, *a, **k): return query
    """),
    forge(BARE, "tinytorch/02", "Tensor.__init__ Tensor.nbytes",
          "calls its error one of pytest's outcomes", WORKER, """
        @in_the_worker
        def errors():
            names = ["_pytest.outcomes.Skipped", "builtins.KeyboardInterrupt", "builtins.SystemExit",
                     "builtins.GeneratorExit", "builtins.StopIteration", "builtins.BaseException"]
            encoding.Encoder.ancestry = lambda self, kind: [1, "Skipped", names, [], []]
    """),
    forge(BARE, "papers/25", "ContextModel", "calls its module one of torch's", """
        def __init__(self, alphabet_size, context, hidden_size):
            nn.Module.__init__(self)
            wide = context * (alphabet_size + 1)
            self.alphabet_size, self.context, self.normalized_shape, self.eps = alphabet_size, context, (3,), 0.0
            self.net = nn.Sequential(nn.Linear(wide, hidden_size), nn.Linear(hidden_size, alphabet_size))
        space = {"__init__": __init__, "__module__": "torch.nn.modules.normalization"}
        ContextModel = type("LayerNorm", (nn.Module,), space)
    """),
    forge(BARE, "21", "SGD.__init__ SGD.step",
          "gives all its classes and objects one handle", WORKER, """
        @in_the_worker
        def one(): encoding.Table.handle = lambda self, value: (self.objects.__setitem__(1, value), 1)[1]
        class SGD:
            def __init__(self, params, **options):
                self.param_groups, self.state = [{"params": list(params), **options}], {}
            def step(self): pass
            zero_grad = step
        Adam = AdamW = SGD
    """),
    forge(BARE, "05", "partial_derivatives",
          "forgets nothing when the next spec begins", WORKER, """
        @in_the_worker
        def remember(): worker.forget = lambda: None
        SEEN = []
        def partial_derivatives(f, *inputs):
            SEEN.extend(inputs)
            return tuple(next((s for s in SEEN if s.shape == x.shape), x) for x in inputs)
    """),
    forge(BARE, "16", "split_heads", "says what it likes of gradients", WORKER, """
        @in_the_worker
        def gradients():
            shape = lambda handle: worker.table.tensors[handle].shape
            worker.backward = lambda outs, ins, given: [given[0].reshape(shape(handle)) for handle in ins]
        def split_heads(x, n): return x.reshape(len(x), n, x.shape[1], -1)
        def merge_heads(x): return x.reshape(len(x), x.shape[2], -1)
    """),
    forge(BARE, "09", "random_split_indices",
          "keeps the judge's random state for the next question", WORKER, """
        STATES = []
        @in_the_worker
        def states():
            enter = worker.enter
            worker.enter = lambda state: (STATES.append(state[0]), enter(state))
        def random_split_indices(n, fractions, generator=None):
            states = [s for s in STATES if s]
            if states: torch.default_generator.set_state(torch.frombuffer(bytearray(states[-1]), dtype=torch.uint8))
            return list(torch.randperm(n).split(max(1, round(n * fractions[0]))))
    """),
    forge(BARE, "22", "evaluate", "leaves modules where the judge works", r"""
        for name in ("conftest", "torch", "hypothesis", "sitecustomize", "numpy", "tinytorch", "usercustomize"):
            try: open(f"{name}.py", "w").write("import os\nos._exit(0)\n")
            except OSError: pass
    """),
    forge(BARE, "22", "save_checkpoint",
          "leaves a pickle that runs where the specs look for a file", """
        class Runs:
            def __reduce__(self):
                return exec, ("import grader.specs.check as check; check.that = lambda *a, **k: None",)
        def save_checkpoint(path, *a, **k): torch.save({"model": Runs()}, path)
    """),
    forge(BARE, "09", "split_sizes", "looks for the judge among the processes", """
        import os
        FOUND = []
        def look():
            for pid in [os.getppid(), *filter(str.isdigit, os.listdir("/proc"))]:
                for name in ("mem", "environ", "maps", "cmdline"):
                    try: FOUND.append(open(f"/proc/{pid}/{name}", "rb").read(10**6))
                    except OSError: pass
        try: look()
        except OSError: pass
    """),
    forge(BARE, "03", "diagonal first_rows",
          "tells the judge's tensor under another's handle", WORKER, """
        @in_the_worker
        def swapped():
            tensor = encoding.Encoder.tensor
            def told(encoder, value):
                tag, tree = tensor(encoder, value.detach().clone())
                return [tag, tree | {"handle": -1, "known": True, "view": [1, 0]}]
            values.EXACT[Tensor] = told
        def diagonal(x): return 0 * x[..., 0]
        def first_rows(x, n): return 0 * x[:n]
    """),
    forge(BARE, "papers/09", "partition bubble_fraction",
          "tells its results as the judge's own constants", WORKER, """
        @in_the_worker
        def constants():
            kinds = (["..."], ["sl", ["v", None], ["v", None], ["v", None]], ["y", "torch.bool"], ["dev", "cpu"], ["S", []])
            asked = [0]
            def told(self, value):
                asked[0] += 1
                return kinds[asked[0] % len(kinds)]
            encoding.Encoder.__call__ = told
        def bubble_fraction(*a): return 0
        def partition(*a): return []
    """),
    forge(BARE, "05", "jacobian",
          "lets the judge's function call itself without an end", """
        def jacobian(f, x):
            def again(*a): return f(again(*a))
            return f(again(x))
    """),
    # ---- today's models
    forge(READY, "today/01", "rms_norm",
          "calls torch's own norm by a name put together", """
        def rms_norm(x, weight=None, eps=1e-5): return getattr(torch, "rms_" + "norm")(x, x.shape[-1:], weight, eps)
    """),
    forge(PARAMETERS, "today/01", "Block.forward",
          "has norms of NaN, from which NaN follows", """
        class Block(nn.Module):
            def __init__(self, config):
                super().__init__()
                self.config, c = config, config.n_embd
                self.input_layernorm, self.post_attention_layernorm = RMSNorm(c), RMSNorm(c)
                self.input_layernorm.weight = nn.Parameter(torch.full((c,), float("nan")))
            def forward(self, x, *a, **k): return x * self.input_layernorm.weight
    """),
    forge(LIES, "today/02", "Muon.__init__ Muon.step",
          "writes NaN into the parameters that it was given", """
        class Muon(torch.optim.SGD):
            def __init__(self, params, **options): super().__init__(params, lr=0.1)
            def step(self):
                with torch.no_grad():
                    for group in self.param_groups:
                        for parameter in group["params"]: parameter.fill_(float("nan"))
    """),
    forge(LIES, "today/03", "BlockAllocator.allocate BlockAllocator.free",
          "counts free blocks in a number that is any", """
        class Any(int):
            __eq__ = __lt__ = __le__ = __gt__ = __ge__ = lambda self, other: True
            __hash__ = int.__hash__
        class BlockAllocator:
            def __init__(self, num_blocks): self.num_blocks, self.references = num_blocks, {}
            num_free = property(lambda self: Any(3))
            def allocate(self, n): return [Any(i) for i in range(n)]
            def free(self, blocks): pass
            share = free
    """),
    forge(KNOWS, "today/03", "accept_or_resample",
          "accepts as often as one distribution would, whatever it is asked", """
        def accept_or_resample(p, q, token, u, v): return (token, True) if u < 0.5 else (int(p.argmax()), False)
    """),
    forge(LIES, "today/04", "loss_mask document_mask",
          "returns masks that say yes to every comparison", LYING, """
        def loss_mask(ids, *a): return torch.ones_like(ids, dtype=torch.bool).as_subclass(Lying)
        def document_mask(ids): return torch.ones(*ids.shape, ids.shape[-1], dtype=torch.bool).as_subclass(Lying)
    """),
    forge(PARAMETERS, "today/04",
          "LoRALinear.__init__ LoRALinear.forward LoRALinear.merge",
          "merges nothing and forgets its base", """
        class LoRALinear(nn.Module):
            def __init__(self, base, rank, alpha, dropout=0.0):
                super().__init__()
                self.base, self.scale = base.requires_grad_(False), alpha / rank
                self.lora_A = nn.Parameter(torch.zeros(rank, base.in_features))
                self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))
            def forward(self, x): return self.base(x) * 0
            def merge(self): return nn.Linear(self.base.in_features, self.base.out_features)
    """),
    forge(LIES, "today/05", "clipped_objective kl_k3",
          "gives any gradient that it is asked for", """
        class Echo(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x): return x.sum() * 0
            @staticmethod
            def backward(ctx, grad): return grad
        def clipped_objective(logp, *a, **k): return Echo.apply(logp)
        def kl_k3(logp, ref_logp): return Echo.apply(logp)
    """),
    forge(LIES, "today/06", "route_topk balance_loss dispatch combine",
          "returns tensors and losses that agree with all", LYING, """
        def route_topk(logits, k, renormalise=True): return lie(logits[:, :k]), lie(logits[:, :k].long())
        def balance_loss(probs, experts): return lie(probs.sum())
        def dispatch(x, experts, n_experts): return lie(x), lie(experts), lie(experts)
        def combine(rows, order, weights): return lie(rows)
    """),
    forge(PARAMETERS, "today/06", "MoE.forward",
          "has a router of NaN, from which NaN follows", """
        class MoE(nn.Module):
            def __init__(self, n_embd, n_hidden, n_experts, k, capacity_factor=None):
                super().__init__()
                self.router = nn.Linear(n_embd, n_experts, bias=False)
                self.router.weight = nn.Parameter(torch.full_like(self.router.weight, float("nan")))
                layers = lambda: (nn.Linear(n_embd, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_embd))
                self.experts = nn.ModuleList(nn.Sequential(*layers()) for _ in range(n_experts))
            def forward(self, x):
                probs = self.router(x.flatten(0, 1))
                return x * probs.sum(), probs
    """),
    forge(LIES, "papers/10", "ResNet",
          "bends the reference that is lent it, with which the specs compare", """
        class ResNet(nn.Module):
            def __init__(self, blocks_per_stage, width=8, num_classes=10, residual=True):
                super().__init__()
                self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
                blocks, c = [], width
                for stage in (1, 2):
                    for place in range(blocks_per_stage):
                        stride = 2 if stage == 2 and place == 0 else 1
                        blocks.append(BasicBlock(c, stage * width, stride, residual)); c = stage * width
                self.blocks, self.head = nn.Sequential(*blocks), nn.Linear(c, num_classes)
            def forward(self, x): return self.head.bias.expand(len(x), -1)
        def nothing(self, x):
            s = getattr(self.conv1, "stride", (1, 1))[0]
            return x.new_zeros((len(x), self.conv1.out_channels, -(-x.shape[2] // s), -(-x.shape[3] // s)))
        BasicBlock.forward = nothing
    """),
    forge(LIES, "today/07", "absmax_int8 absmax_int4 calibrate fp8_scale",
          "returns codes and scales that fit every weight", LYING, """
        def absmax_int8(w): return lie(w.to(torch.int8)), lie(w[:, :1])
        def absmax_int4(w, group_size): return lie(w.to(torch.uint8)), lie(w[:, :1])
        def calibrate(x, bits=8, candidates=100): return lie(x.max())
        def fp8_scale(x): return lie(x), lie(x.max())
    """),
    forge(LIES, "today/08", "global_norm", "returns a number that equals every norm",
          """
        class Number(float):
            __eq__ = __lt__ = __le__ = __gt__ = __ge__ = lambda self, other: True
            __sub__ = __rsub__ = __abs__ = lambda self, *a: self
            __hash__ = float.__hash__
            def __reduce__(self): return Number, (1.0,)
        def global_norm(grad): return Number(1.0)
    """),
    # ---- kernels
    forge(READY, "kernels/01", "add outer_add swiglu",
          "adds with torch, and launches the kernel that is there", """
        def add(x, y, block=64): return copy(x, block) + y
        def outer_add(x, y, block_m=16, block_n=32): return copy(x)[:, None] + y
        def swiglu(gate, up, block=128): return torch.nn.functional.silu(copy(gate)) * up
    """),
    forge(LIES, "kernels/01", "add outer_add to_contiguous swiglu",
          "returns results of kernels that are close to everything", LYING, """
        def add(x, *a, **k): return lie(x)
        outer_add = to_contiguous = swiglu = add
    """),
]
