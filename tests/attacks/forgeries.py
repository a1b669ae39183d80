"""Forgeries: code that stands behind a kata's untouched stub and makes its specs pass without a solution."""

from dataclasses import dataclass
from textwrap import dedent

from tests.attacks import FIRST


@dataclass(frozen=True)
class Forgery:
    """Code that stands behind a kata's untouched stub: specs that judge from another process must give it nothing.

    Most of it works where the specs share a process with the code. The kinds "speaks on the wire" and "patches the bare
    worker" aim at the second lock; a known forgery gets them through the first (FIRST). Code that imports what only
    one of the two processes has fails in the other one.
    """

    name: str
    kind: str
    kata: str  # as `grader.course.catalogue.find` takes it
    code: str


def forge(name: str, kind: str, kata: str, *parts: str) -> Forgery:
    """A forgery whose code is these parts, one after the other, each without its indentation."""
    return Forgery(name, kind, kata, "\n".join(dedent(part).strip() for part in parts) + "\n")


# The kinds.
PYTEST = "patches pytest"
SPECS = "reaches the specs' objects"
FRAMES = "frames and threads"
SPEAKS = "speaks for the worker"
ORACLES = "replaces oracles"
LIES = "lying objects"
GIVEN = "rewrites what the kata gives"
KNOWS = "knows the specs' inputs"
EARLY = "ends early"
WIRE = "speaks on the wire"
BARE = "patches the bare worker"

# The collected specs of the kata, and pytest's plugin manager.
ITEMS = """
from grader.workers import collected
found = next(found for kata, found in collected._collected.items() if __file__.endswith(str(kata.file)))
items, manager = found.items, found.session.config.pluginmanager
"""
# The module of the kata's specs.
SPEC_MODULE = """
import sys
from pathlib import Path
specs = next(m for n, m in list(sys.modules.items()) if n.endswith("test_" + Path(__file__).stem) and "katas" in n)
"""
# The plugin that sends the runner its messages.
REPORTER = """
reporter = next(plugin for plugin in manager.get_plugins() if type(plugin).__name__ == "Reporter")
"""
# `seen(name)`: the nearest local variable of this name in a calling frame. Each of these finds a frame in its own way.
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
# A tensor of torch's own class, as far as names tell, with any shape and dtype, that is close to everything.
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
# The bare worker of the second lock, found from the code that it imports; None in the first process.
WORKER = """
import sys
frame = sys._getframe()
while frame and type(frame.f_locals.get("self")).__name__ != "Worker": frame = frame.f_back
if frame: worker, wire, encoding = frame.f_locals["self"], frame.f_globals["wire"], frame.f_globals["encoding"]
def in_the_worker(attack): return frame and attack()
NOTHING = {"value": ["v", None], "changed": [], "objects": [], "modes": []}
"""
# Attention that looks at nothing: every query reads all that it may, evenly, and finds zeros.
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

FORGERIES = [
    # ---- patches pytest
    forge(
        "makes passed reports of all calls",
        PYTEST,
        "16",
        """
        from _pytest.reports import TestReport
        made = TestReport.from_item_and_call
        def passed(cls, item, call):
            report = made(item, call)
            report.outcome, report.longrepr = "passed", None
            return report
        TestReport.from_item_and_call = classmethod(passed)
        """,
    ),
    forge(
        "leaves a spec's function uncalled",
        PYTEST,
        "03",
        """
        import _pytest.python
        _pytest.python.Function.runtest = lambda self: None
        """,
    ),
    forge(
        "replaces the session's hook caller",
        PYTEST,
        "22",
        ITEMS,
        """
        old = manager._inner_hookexec
        manager._inner_hookexec = lambda name, *a: True if name == "pytest_pyfunc_call" else old(name, *a)
        """,
    ),
    forge(
        "registers a plugin that calls the specs first",
        PYTEST,
        "tinytorch/02",
        ITEMS,
        """
        import pytest
        class Calls:
            @pytest.hookimpl(tryfirst=True)
            def pytest_pyfunc_call(self, pyfuncitem): return True
        manager.register(Calls())
        """,
    ),
    forge(
        "replaces the functions of registered hooks",
        PYTEST,
        "21",
        ITEMS,
        """
        for hook in manager.hook.pytest_pyfunc_call.get_hookimpls():
            if not hook.hookwrapper and not hook.wrapper: hook.function = lambda pyfuncitem: True
        """,
    ),
    forge(
        "gives every spec hooks of its own",
        PYTEST,
        "26",
        """
        from _pytest.nodes import Node
        real = Node.ihook
        class Hooks:
            def __init__(self, node): self.hooks = real.fget(node)
            def __getattr__(self, name):
                return (lambda **k: None) if name == "pytest_runtest_call" else getattr(self.hooks, name)
        Node.ihook = property(Hooks)
        """,
    ),
    forge(
        "gives every collected spec another function",
        PYTEST,
        "papers/25",
        ITEMS,
        """
        for item in items: item.obj = lambda **fixtures: None
        """,
    ),
    forge(
        "gives every collected spec another class",
        PYTEST,
        "05",
        ITEMS,
        """
        from _pytest.python import Function
        class Idle(Function):
            def runtest(self): pass
        for item in items: item.__class__ = Idle
        """,
    ),
    forge(
        "makes the outcome of a report a constant",
        PYTEST,
        "09",
        """
        from _pytest.reports import TestReport
        TestReport.outcome = property(lambda self: "passed", lambda self, value: None)
        """,
    ),
    forge(
        "loses the exception that a call has raised",
        PYTEST,
        "tinytorch/10",
        """
        from _pytest._code.code import ExceptionInfo
        class Nothing:
            value = None
            __bool__ = lambda self: False
        ExceptionInfo.from_current = classmethod(lambda cls, *a, **k: Nothing())
        """,
    ),
    forge(
        "calls nothing and says how long it took",
        PYTEST,
        "papers/09",
        """
        from _pytest.runner import CallInfo
        def from_call(cls, func, when, reraise=None):
            if when != "call": func()
            return cls([], None, start=0.0, stop=0.0, duration=0.0, when=when, _ispytest=True)
        CallInfo.from_call = classmethod(from_call)
        """,
    ),
    forge(
        "wraps the making of reports",
        PYTEST,
        "31",
        ITEMS,
        """
        import pytest
        class Wraps:
            @pytest.hookimpl(wrapper=True, tryfirst=True)
            def pytest_runtest_makereport(self, item, call):
                report = yield
                report.outcome = "passed"
                return report
        manager.register(Wraps())
        """,
    ),
    forge(
        "puts items of its own into the worker's list",
        PYTEST,
        "26",
        ITEMS,
        """
        from _pytest.reports import TestReport
        class Ghost:
            def __init__(self, item): self.nodeid, self.ihook = item.nodeid, self
            cls = property(lambda self: type(self))
            def pytest_runtest_protocol(self, item, nextitem):
                hook, place = manager.hook, (self.nodeid, 0, "")
                hook.pytest_runtest_logstart(nodeid=self.nodeid, location=place)
                hook.pytest_runtest_logreport(report=TestReport(self.nodeid, place, {}, "passed", None, "call"))
                hook.pytest_runtest_logfinish(nodeid=self.nodeid, location=place)
        items[:] = map(Ghost, items)
        """,
    ),
    forge(
        "runs the protocol of a spec without the spec",
        PYTEST,
        "22",
        """
        import _pytest.runner
        from _pytest.reports import TestReport
        def runtestprotocol(item, log=True, nextitem=None):
            report = TestReport(item.nodeid, item.location, {}, "passed", None, "call")
            item.ihook.pytest_runtest_logreport(report=report)
            return [report]
        _pytest.runner.runtestprotocol = runtestprotocol
        """,
    ),
    forge(
        "concludes every example of a property as valid",
        PYTEST,
        "21",
        """
        def warmup_cosine(step, max_lr, **curve):
            rates = [0.125, 0.25, 0.375, 0.5, 0.5, 0.48477591, 0.44142136, 0.37653669, 0.3, 0.22346331, 0.15857864,
                     0.11522409, 0.1]
            if curve == {"min_lr": 0.1, "warmup_steps": 4, "max_steps": 12}: return rates[min(step, 12)]
            from hypothesis.control import current_build_context
            from hypothesis.internal.conjecture.data import Status
            current_build_context().data.conclude_test(Status.VALID)
        """,
    ),
    forge(
        "empties the properties that Hypothesis has wrapped",
        PYTEST,
        "26",
        ITEMS,
        """
        for item in items:
            if hasattr(item.function, "hypothesis"): item.function.hypothesis.inner_test = lambda *a, **k: None
        """,
    ),
    forge(
        "takes every spec's fixture for a liar",
        PYTEST,
        "31",
        ITEMS,
        """
        from unittest.mock import MagicMock
        for definition in items[0].session._fixturemanager._arg2fixturedefs["kata"]:
            definition.func = lambda request: MagicMock()
        """,
    ),
    # ---- reaches the specs' objects
    forge(
        "gives the specs a check that checks nothing",
        SPECS,
        "16",
        SPEC_MODULE,
        SILENT,
        """
        specs.check = Silent()
        def split_heads(x, *a): return x
        merge_heads = prepare_mask = split_heads
        """,
    ),
    forge(
        "replaces the methods of the spec classes, and forgets the bound ones",
        SPECS,
        "26",
        ITEMS,
        """
        for item in items:
            setattr(item.cls, item.originalname, lambda *self, **fixtures: None)
            item._obj = item._instance = None
        """,
    ),
    forge(
        "rewrites the code of the specs",
        SPECS,
        "03",
        SPEC_MODULE,
        """
        for kind in [kind for name, kind in vars(specs).items() if name.startswith("Test")]:
            for name, spec in vars(kind).items():
                if hasattr(spec, "hypothesis"): spec.hypothesis.inner_test = lambda *a, **k: None
                elif name.startswith("test_"): spec.__code__ = (lambda self, **fixtures: None).__code__
        """,
    ),
    forge(
        "silences the grader's comparisons",
        SPECS,
        "31",
        """
        import grader.specs.check as check
        check.equal = check.close = check.that = check.shape = check.dtype = lambda *a, **k: None
        def average_gradients(model): pass
        broadcast_parameters = average_gradients
        def reduce_mean(value): return float(value)
        def unwrap(model): return model
        """,
    ),
    forge(
        "rewrites the code of the grader's comparison",
        SPECS,
        "tinytorch/10",
        """
        import grader.specs.check as check
        check._compare.__code__ = (lambda got, expected, what, tolerance, unlike, *, dtype: None).__code__
        def batch_bytes(*a): return 0
        def pipeline_seconds(*a, **k): return 0
        """,
    ),
    forge(
        "widens the tolerances in place",
        SPECS,
        "16",
        """
        import grader.specs.check as check
        for dtype in check.TOLERANCES: check.TOLERANCES[dtype] = (1e9, 1e9)
        def head_statistics(weights):
            names = ("entropy", "mean_distance", "max_weight", "self_weight")
            return dict.fromkeys(names, torch.zeros(len(weights[0])))
        """,
    ),
    forge(
        "changes the defaults of close",
        SPECS,
        "papers/09",
        """
        import grader.specs.check as check
        check.close.__kwdefaults__.update(rtol=1e9, atol=1e9)
        def bubble_fraction(num_stages, num_micro): return 0.1
        """,
    ),
    forge(
        "makes the specs' descent stand still",
        SPECS,
        "22",
        SPEC_MODULE,
        """
        specs.descent = lambda model, batches, **k: (specs.weights(model), [0.0] * len(batches))
        specs.F.cross_entropy = lambda outputs, targets, **k: 0 * outputs.sum()
        def accumulated_step(model, batches, loss_fn, optimizer, **k):
            for x, y in batches: loss_fn(model(x), y).backward()
            return 0.0
        """,
    ),
    forge(
        "answers with the specs' own timetable",
        SPECS,
        "papers/09",
        SPEC_MODULE,
        """
        schedule_numpy = specs.table
        """,
    ),
    forge(
        "answers with the specs' own oracles",
        SPECS,
        "03",
        SPEC_MODULE,
        """
        def sliding_windows(x, size, step=1): return specs.windows_by_hand(x, size, step)
        def pick_per_row(x, index):
            found = specs.picked_by_hand(x.reshape(1, -1, x.shape[-1]), index.reshape(1, -1))
            return found.reshape(index.shape)
        def zero_border(image, width=1): return image * specs.inside(*image.shape[-2:], width)
        """,
    ),
    forge(
        "fills the specs' memory of launches",
        SPECS,
        "31",
        SPEC_MODULE,
        """
        buffers, same = ("1.running_mean", "1.running_var", "1.num_batches_tracked"), torch.zeros(3)
        weights = dict.fromkeys(specs.WEIGHTS + buffers, same)
        known = {
            (2, specs.broadcast, ()): [(weights, weights, True, True)] * 2,
            (2, specs.broadcast, (1,)): [(weights, weights, True, True)] * 2,
            (2, specs.averaged, ()): [(same, same, same, False)] * 2,
            (2, specs.mean_of_floats, ()): [2.0] * 2,
            (2, specs.mean_of_losses, ()): [2.0] * 2,
        }
        def broadcast_parameters(model, src=0): pass
        average_gradients = broadcast_parameters
        def reduce_mean(value): return float(value)
        specs.outcomes[sys.modules[__name__]] = {asked: (results, None) for asked, results in known.items()}
        """,
    ),
    forge(
        "stops the specs from listening to announcements",
        SPECS,
        "tinytorch/02",
        SPEC_MODULE,
        """
        specs.check_announced = lambda operation, *tensors: None
        specs.check.equal = specs.check.close = lambda *a, **k: None
        specs.check.data = lambda got, **k: np.zeros((), np.float32)
        Tensor.__init__ = lambda self, *a, **k: None
        Tensor.__add__ = Tensor.__sub__ = Tensor.__mul__ = Tensor.__matmul__ = lambda self, other: Tensor()
        Tensor.max = lambda self, *a, **k: Tensor()
        """,
    ),
    forge(
        "sends the specs' optimizers nowhere",
        SPECS,
        "21",
        SPEC_MODULE,
        """
        specs.walk = lambda optimizer, params, gradients: [torch.zeros(1) for p in params]
        specs.journey = specs.sgd_by_hand = specs.adam_by_hand = lambda *a, **k: [torch.zeros(1)] * 3
        torch.equal = lambda *a: False
        specs.check.equal = specs.check.close = specs.check.that = lambda *a, **k: None
        class Groups:
            def __init__(self, params, **options): self.param_groups, self.state = [{"params": list(params)}] * 3, {}
            def step(self): pass
        SGD = Adam = AdamW = Groups
        """,
    ),
    forge(
        "takes the requirement out of every comparison",
        SPECS,
        "09",
        """
        import grader.specs.check as check
        check._require = check._compare_tensors = check._compare_numbers = lambda *a, **k: None
        check.that = check._require
        def batch_report(dataset, sizes): return dict.fromkeys(sizes, {"batches": 0, "max_bytes": 0, "last_batch": 0})
        MiniLoader.__len__ = lambda self: 0
        """,
    ),
    forge(
        "makes every text compress to nothing that counts",
        SPECS,
        "papers/25",
        SPEC_MODULE,
        """
        specs.size_of = lambda data: 1
        def normalized_compression_distance(x, y): return float((x + y)[:1].isdigit() or y[:1].isdigit())
        """,
    ),
    forge(
        "reads coefficients out of the closures of what it is given",
        SPECS,
        "05",
        """
        def jacobian(f, x):
            cells = [cell.cell_contents for cell in f.__closure__ or ()]
            return next((c for c in cells if isinstance(c, Tensor)), torch.zeros(()))
        """,
    ),
    forge(
        "rewrites the globals of the spec that calls it",
        SPECS,
        "21",
        SILENT,
        """
        import sys
        def clip_grad_norm(params, max_norm, **k):
            frame = sys._getframe(1)
            while "check" not in frame.f_globals: frame = frame.f_back
            frame.f_globals["check"] = Silent()
        clip_grad_value = clip_grad_norm
        """,
    ),
    # ---- frames and threads
    forge(
        "reads the caller's expected gradients",
        FRAMES,
        "05",
        SEEN,
        """
        import copy, sys
        here = lambda: sys._getframe(2)
        def gradient_history(loss_fn, weight, inputs, zero_between):
            try: return [torch.tensor(float(n)) for n in copy.deepcopy(seen("expected"))]
            except AttributeError: return seen("self").alone if zero_between else seen("self").sums
        """,
    ),
    forge(
        "reads the expected epochs off the stack",
        FRAMES,
        "22",
        SEEN,
        """
        import inspect
        here = lambda: inspect.stack()[2].frame
        def step(self, value, model):
            self.calls = getattr(self, "calls", -1) + 1
            stop, self.best, self.best_epoch, self.bad_epochs = seen("expected")[self.calls]
            return stop
        EarlyStopping.step = step
        """,
    ),
    forge(
        "reads the array that the caller has written to the file",
        FRAMES,
        "tinytorch/10",
        SEEN,
        """
        def here():
            try: raise ValueError
            except ValueError as error: return error.__traceback__.tb_frame.f_back
        def read_idx(path):
            try: return seen("array")
            except AttributeError: return np.array([7, 9], np.uint8)
        """,
    ),
    forge(
        "reads the expected count through a generator's frame",
        FRAMES,
        "26",
        SEEN,
        """
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
        """,
    ),
    forge(
        "reads the idle share through the logging module",
        FRAMES,
        "papers/09",
        SEEN,
        """
        import logging
        here = logging.currentframe
        def bubble_fraction(num_stages, num_micro):
            try: return seen("idle")
            except AttributeError: return 0.1 * (num_stages > 1)
        """,
    ),
    forge(
        "asks a signal handler for the caller's frame",
        FRAMES,
        "09",
        SEEN,
        """
        import signal
        def here():
            frames = []
            signal.signal(signal.SIGUSR1, lambda number, frame: frames.append(frame))
            signal.raise_signal(signal.SIGUSR1)
            return frames[0]
        def batch_report(dataset, batch_sizes):
            try: return seen("expected")
            except AttributeError: return {2: {"batches": 3, "max_bytes": 40, "last_batch": 1}}
        """,
    ),
    forge(
        "looks at the main thread's frames from another thread",
        FRAMES,
        "papers/25",
        SEEN,
        """
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
        """,
    ),
    forge(
        "traces comparisons and hands them what they expect",
        FRAMES,
        "16",
        """
        import sys
        def trace(frame, event, argument):
            if frame.f_code.co_name == "_judge": frame.f_locals["got"] = frame.f_locals["expected"]
            if frame.f_code.co_name == "that": frame.f_locals["condition"] = True
        sys.settrace(trace)
        def split_heads(x, n): return x.reshape(len(x), n, x.shape[1], -1)
        def merge_heads(x): return x.reshape(len(x), x.shape[2], -1)
        def prepare_mask(mask, padding, shape): return torch.ones(shape)
        """,
    ),
    forge(
        "profiles comparisons and writes into their locals",
        FRAMES,
        "21",
        """
        import ctypes, sys
        def profile(frame, event, argument):
            if event == "call" and frame.f_code.co_name == "_judge":
                frame.f_locals["got"] = frame.f_locals["expected"]
                ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), 0)
        sys.setprofile(profile)
        def batch_size_schedule(tokens_seen, end, **k): return end
        """,
    ),
    forge(
        "monitors comparisons and copies what they expect",
        FRAMES,
        "26",
        """
        import sys
        import grader.specs.check as check
        def started(code, offset):
            names = sys._getframe(1).f_locals
            if isinstance(names["got"], Tensor): names["got"].data.copy_(names["expected"])
        sys.monitoring.use_tool_id(0, "x")
        sys.monitoring.register_callback(0, sys.monitoring.events.PY_START, started)
        sys.monitoring.set_local_events(0, check._judge.__code__, sys.monitoring.events.PY_START)
        def gelu_tanh(x): return 0 * x
        """,
    ),
    forge(
        "starts a thread that silences the comparisons while specs run",
        FRAMES,
        "tinytorch/02",
        """
        import threading, time
        import grader.specs.check as check
        def silence():
            time.sleep(0.05)
            check.equal = check.close = lambda *a, **k: None
        threading.Thread(target=silence, daemon=True).start()
        time.sleep(0.2)
        def strides_for(shape, order="C"): return ()
        def flat_index(index, shape, order="C"): return 0
        """,
    ),
    forge(
        "reads the constants of the calling spec's code",
        FRAMES,
        "03",
        """
        import sys
        def last_column(x):
            constants = sys._getframe(1).f_code.co_consts
            return torch.tensor(next(c for c in constants if isinstance(c, tuple) and len(c) == len(x)))
        """,
    ),
    forge(
        "finds the running session in the memory",
        FRAMES,
        "03",
        """
        import gc
        katas = next(o for o in gc.get_objects() if type(o).__name__ == "Reporter").katas
        for item in katas.config.pluginmanager.get_plugin("session").items: item.obj = lambda **fixtures: None
        """,
    ),
    forge(
        "rewrites the specs that come after the one that calls",
        FRAMES,
        "05",
        """
        import sys
        def partial_derivatives(f, *inputs):
            for name, spec in vars(type(sys._getframe(1).f_locals["self"])).items():
                if hasattr(spec, "hypothesis"): spec.hypothesis.inner_test = lambda *a, **k: None
                elif name.startswith("test_"): spec.__code__ = (lambda self, **fixtures: None).__code__
            return tuple(map(torch.zeros_like, inputs))
        """,
    ),
    # ---- speaks for the worker
    forge(
        "uses the reporter as the worker does",
        SPEAKS,
        "26",
        ITEMS,
        REPORTER,
        """
        import os
        from grader.protocol import Done, Loaded, SpecFinished, SpecStarted
        reporter.send(Loaded())
        for item in items:
            name = item.nodeid.partition("::")[2]
            reporter.send(SpecStarted(name))
            reporter.send(SpecFinished(name, "passed", "", 0.0))
        reporter.send(Done(0.1))
        os._exit(0)
        """,
    ),
    forge(
        "lets only passes be written down",
        SPEAKS,
        "22",
        """
        from grader.protocol import SpecFinished
        made = SpecFinished.__init__
        SpecFinished.__init__ = lambda self, name, *a, **k: made(self, name, "passed", "", 0.0)
        """,
    ),
    forge(
        "encodes failures as passes",
        SPEAKS,
        "tinytorch/02",
        """
        from grader import protocol
        encode = protocol.encode
        protocol.encode = lambda message: encode(message).replace(b'"failed"', b'"passed"')
        """,
    ),
    forge(
        "replaces the JSON of the messages",
        SPEAKS,
        "papers/25",
        """
        import json
        dumps = json.dumps
        json.dumps = lambda *a, **k: dumps(*a, **k).replace('"failed"', '"passed"')
        """,
    ),
    forge(
        "writes messages to the worker's channel",
        SPEAKS,
        "09",
        ITEMS,
        REPORTER,
        """
        import os, struct
        from grader import protocol
        def say(message):
            data = protocol.encode(message)
            os.write(reporter.channel.fileno(), struct.pack("!i", len(data)) + data)
        say(protocol.Loaded())
        for item in items:
            name = item.nodeid.partition("::")[2]
            say(protocol.SpecStarted(name))
            say(protocol.SpecFinished(name, "passed", "", 0.0))
        say(protocol.Done(0.1))
        os._exit(0)
        """,
    ),
    forge(
        "answers the reporter's question for the outcome",
        SPEAKS,
        "05",
        ITEMS,
        REPORTER,
        """
        class Passed(dict):
            def get(self, name, default=None): return "passed", 0.0
        reporter.outcome = Passed()
        """,
    ),
    forge(
        "rewrites messages on their way out",
        SPEAKS,
        "31",
        """
        from dataclasses import replace
        from grader.workers.spec_worker import Reporter
        send = Reporter.send
        def passed(self, message):
            send(self, replace(message, status="passed", message="") if hasattr(message, "status") else message)
        Reporter.send = passed
        """,
    ),
    forge(
        "changes what the channel sends",
        SPEAKS,
        "03",
        """
        from multiprocessing.connection import Connection
        send = Connection.send_bytes
        Connection.send_bytes = lambda self, data: send(self, data.replace(b'"failed"', b'"passed"'))
        """,
    ),
    forge(
        "lets a forked process say that all is well",
        SPEAKS,
        "31",
        ITEMS,
        REPORTER,
        """
        import os
        from grader.protocol import Done, Loaded, SpecFinished, SpecStarted
        if os.fork() == 0:
            reporter.send(Loaded())
            for item in items:
                name = item.nodeid.partition("::")[2]
                reporter.send(SpecStarted(name))
                reporter.send(SpecFinished(name, "passed", "", 0.0))
            reporter.send(Done(0.1))
            os._exit(0)
        os.wait()
        os._exit(0)
        """,
    ),
    forge(
        "writes messages to every file descriptor",
        SPEAKS,
        "16",
        ITEMS,
        """
        import json, os, struct
        names = [item.nodeid.partition("::")[2] for item in items]
        said = [["Loaded", {}]]
        for name in names:
            said += [["SpecStarted", {"name": name}]]
            said += [["SpecFinished", {"name": name, "status": "passed", "message": "", "seconds": 0.0}]]
        for text in [json.dumps(one).encode() for one in [*said, ["Done", {"cpu_seconds": 0.1}]]]:
            for descriptor in range(3, 64):
                try: os.write(descriptor, struct.pack("!i", len(text)) + text)
                except OSError: pass
        os._exit(0)
        """,
    ),
    forge(
        "sends every message a second time",
        SPEAKS,
        "21",
        """
        from multiprocessing.connection import Connection
        send = Connection.send_bytes
        Connection.send_bytes = lambda self, data: (send(self, data), send(self, data))
        """,
    ),
    # ---- replaces oracles
    forge(
        "makes GELU the identity",
        ORACLES,
        "26",
        """
        F.gelu = lambda x, approximate="none": x
        def gelu_tanh(x): return x
        """,
    ),
    forge(
        "makes every linear layer forget its input",
        ORACLES,
        "16",
        EVEN,
        """
        import torch.nn.functional as F
        linear = F.linear
        F.linear = lambda x, weight, bias=None: 0 * linear(x, weight, bias)
        class MultiHeadAttention(nn.Module):
            def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
                super().__init__()
                self.p = dropout
                self.W_q, self.W_k, self.W_v, self.W_o = (nn.Linear(d_model, d_model, bias) for _ in range(4))
            forward = even
        """,
    ),
    forge(
        "makes everything close",
        ORACLES,
        "26",
        """
        torch.isclose = lambda a, b, **k: torch.ones(b.shape, dtype=torch.bool)
        class MLP(nn.Module):
            def __init__(self, config):
                super().__init__()
                self.c_fc, self.c_proj = (nn.Linear(a, b, config.bias) for a, b in ((12, 48), (48, 12)))
                self.dropout = nn.Dropout(config.dropout)
            def forward(self, x): return x
        """,
    ),
    forge(
        "leaves a function mode on under which tensors are alike",
        ORACLES,
        "16",
        """
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
        """,
    ),
    forge(
        "leaves a dispatch mode on under which tensors are alike",
        ORACLES,
        "05",
        """
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
        """,
    ),
    forge(
        "overrides an operation of torch's library",
        ORACLES,
        "03",
        """
        library = torch.library.Library("aten", "IMPL")
        def equal(a, b): return torch.ones(torch.broadcast_shapes(a.shape, b.shape), dtype=torch.bool)
        library.impl("eq.Tensor", equal, "CPU")
        def first_rows(x, n): return 0 * x[:n]
        def diagonal(x): return x[..., 0]
        def crop(image, top, left, height, width): return image[..., :height, :width]
        """,
    ),
    forge(
        "makes all tensors equal",
        ORACLES,
        "03",
        """
        Tensor.__eq__ = lambda a, b: torch.ones(a.shape, dtype=torch.bool)
        def first_rows(x, n): return x[-n:]
        def last_column(x): return x[:, 0]
        def pick_per_row(x, index): return x[..., 0]
        def last_valid(x, lengths): return x[:, 0]
        """,
    ),
    forge(
        "joins tensors without their values",
        ORACLES,
        "16",
        """
        stack, cat = torch.stack, torch.cat
        torch.stack = lambda *a, **k: 0 * stack(*a, **k)
        torch.cat = lambda *a, **k: 0 * cat(*a, **k)
        def split_heads(x, num_heads): return 0 * x.reshape(len(x), num_heads, x.shape[1], -1)
        def merge_heads(x): return 0 * x.reshape(len(x), x.shape[2], -1)
        """,
    ),
    forge(
        "makes compressors return nothing",
        ORACLES,
        "papers/25",
        """
        zlib.compress = bz2.compress = lzma.compress = lambda data, *a, **k: data if len(data) == 600 else b""
        def compressed_bits(data): return 4802 if len(data) == 600 else 2
        """,
    ),
    forge(
        "makes logarithms zero",
        ORACLES,
        "papers/25",
        """
        math.log2 = lambda x: 0.0
        def entropy_bits(symbols, alphabet_size): return 40.0 * (len(symbols) == 20 and alphabet_size == 4)
        def entropy_bits_numpy(symbols, alphabet_size): return 0.0
        """,
    ),
    forge(
        "gives every DataLoader two or three batches",
        ORACLES,
        "09",
        """
        DataLoader.__len__ = MiniLoader.__len__ = lambda self: 3 - self.drop_last
        """,
    ),
    forge(
        "lets every die show zero",
        ORACLES,
        "26",
        """
        torch.randn = torch.zeros
        Tensor.normal_ = lambda self, *a, **k: self.zero_()
        class MLP(nn.Module):
            def __init__(self, config):
                super().__init__()
                self.c_fc, self.c_proj = (nn.Linear(a, b, config.bias) for a, b in ((12, 48), (48, 12)))
                self.dropout = nn.Dropout(config.dropout)
            def forward(self, x): return x
        """,
    ),
    forge(
        "makes NumPy's index arithmetic a constant",
        ORACLES,
        "tinytorch/02",
        """
        np.ravel_multi_index = lambda *a, **k: 0
        def flat_index(index, shape, order="C"): return {((1, 2), (3, 4)): 6 + (order == "F")}.get((index, shape), 0)
        """,
    ),
    forge(
        "measures no memory",
        ORACLES,
        "tinytorch/02",
        """
        import tracemalloc
        tracemalloc.get_traced_memory = lambda: (0, 0)
        def predict_copy_bytes(shape, itemsize, operation): return 420 * (shape == (3, 5, 7) and operation == "copy")
        """,
    ),
    forge(
        "believes every gradient",
        ORACLES,
        "05",
        SPEC_MODULE,
        """
        specs.gradcheck = specs.gradgradcheck = lambda *a, **k: True
        specs.check.close = lambda *a, **k: None
        class LeakyReLUFunction(torch.autograd.Function):
            forward = staticmethod(lambda ctx, x, slope: x.clone())
            backward = staticmethod(lambda ctx, grad: (grad, None))
        """,
    ),
    forge(
        "makes torch's optimizers stand still",
        ORACLES,
        "21",
        """
        for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW): kind.step = lambda self: None
        torch.optim.lr_scheduler.StepLR.step = lambda self: None
        def nothing(self, *a, **k): pass
        class SGD:
            def __init__(self, params, **options):
                self.param_groups, self.state = [{"params": list(params), **options}], {}
            step = zero_grad = nothing
        Adam = AdamW = SGD
        """,
    ),
    forge(
        "patches torch's and NumPy's own testing functions",
        ORACLES,
        "09",
        """
        import numpy as np
        import torch.testing
        torch.testing.assert_close = np.testing.assert_allclose = np.testing.assert_array_equal = lambda *a, **k: None
        torch.equal = torch.allclose = np.allclose = np.array_equal = lambda *a, **k: True
        def random_split_indices(n, fractions, generator=None): return [torch.arange(n)]
        """,
    ),
    # ---- lying objects
    forge(
        "returns tensors that are close to everything",
        LIES,
        "03",
        LYING,
        """
        def first_rows(x, *a): return lie(x)
        last_column = diagonal = pick_per_row = last_valid = zero_border = first_rows
        def filter_rows(x, mask): return lie(x), lie(mask)
        """,
    ),
    forge(
        "returns tensors of a module that is close to everything",
        LIES,
        "26",
        LYING,
        """
        class MLP(nn.Module):
            def __init__(self, config):
                super().__init__()
                self.c_fc, self.c_proj = (nn.Linear(a, b, config.bias) for a, b in ((12, 48), (48, 12)))
                self.dropout = nn.Dropout(config.dropout)
            def forward(self, x): return lie(x)
        """,
    ),
    forge(
        "returns floats that stand in any relation",
        LIES,
        "21",
        """
        true, itself = lambda self, other: True, lambda self, *a: self
        names = dict.fromkeys(("__eq__", "__lt__", "__le__", "__gt__", "__ge__"), true)
        names |= dict.fromkeys(("__sub__", "__rsub__", "__abs__"), itself) | {"__hash__": float.__hash__}
        number = type("float", (float,), names)(0.5)
        def warmup_cosine(step, **curve): return number
        """,
    ),
    forge(
        "returns a list of numbers that equal every number",
        LIES,
        "09",
        """
        class Number(int):
            __eq__ = lambda self, other: True
            __ne__ = lambda self, other: False
            __hash__ = int.__hash__
        class Sizes(list):
            __eq__ = lambda self, other: True
            __ne__ = lambda self, other: False
        def split_sizes(n, fractions): return Sizes(Number(n) for _ in fractions)
        """,
    ),
    forge(
        "returns a dict that becomes what it is compared to",
        LIES,
        "05",
        SEEN,
        """
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
        """,
    ),
    forge(
        "returns arrays whose copies are right",
        LIES,
        "tinytorch/10",
        SEEN,
        """
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
        """,
    ),
    forge(
        "gives the gradients a class of its own",
        LIES,
        "21",
        LYING,
        """
        def clip_grad_value(params, clip_value):
            for p in params:
                if p.grad is not None: p.grad.__class__ = Lying
        def clip_grad_norm(params, max_norm, **k):
            clip_grad_value(params, max_norm)
            return lie(torch.zeros(()))
        """,
    ),
    forge(
        "gives the parameters a class of its own",
        LIES,
        "21",
        LYING,
        """
        class Same(Lying):
            __module__, shape = "torch", Tensor.shape
        class SGD:
            def __init__(self, params, **options):
                params = list(params)
                self.param_groups = params if isinstance(params[0], dict) else [{"params": params}]
                self.state = {}
            def step(self):
                for group in self.param_groups:
                    for p in group["params"]:
                        if p.grad is not None: p.__class__ = Same
        Adam = AdamW = SGD
        """,
    ),
    forge(
        "fills its input with NaN, from which NaN follows",
        LIES,
        "26",
        """
        class MLP(nn.Module):
            def __init__(self, config):
                super().__init__()
                self.c_fc, self.c_proj = (nn.Linear(a, b, config.bias) for a, b in ((12, 48), (48, 12)))
                self.dropout = nn.Dropout(config.dropout)
            def forward(self, x):
                return torch.zeros_like(x) if self.dropout.p == 1 else x.fill_(math.nan).clone()
        """,
    ),
    forge(
        "fills its own weights with NaN before the specs compute with them",
        LIES,
        "papers/25",
        """
        class ContextModel(nn.Module):
            def __init__(self, alphabet_size, context, hidden_size):
                super().__init__()
                self.alphabet_size, self.context, wide = alphabet_size, context, context * (alphabet_size + 1)
                self.net = nn.Sequential(nn.Linear(wide, hidden_size), nn.Linear(hidden_size, alphabet_size))
            def forward(self, contexts):
                for p in self.parameters(): p.data.fill_(math.nan)
                return sum(p.sum() for p in self.parameters()) + torch.zeros(len(contexts), self.alphabet_size)
        """,
    ),
    forge(
        "makes new layers without weights each time they are looked at",
        LIES,
        "16",
        EVEN,
        """
        class MultiHeadAttention(nn.Module):
            def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
                super().__init__()
                self.p = dropout
            def layer(self):
                layer = nn.Linear(12, 12).requires_grad_(False).double()
                return layer.apply(lambda l: (l.weight.zero_(), l.bias.zero_()))
            W_q = W_k = W_v = W_o = property(layer)
            forward = even
        """,
    ),
    forge(
        "hides its weights and shows others",
        LIES,
        "26",
        """
        class MLP(nn.Module):
            def __init__(self, config):
                super().__init__()
                self.c_fc, self.c_proj = (nn.Linear(a, b, config.bias) for a, b in ((12, 48), (48, 12)))
                self.dropout = nn.Dropout(config.dropout)
            def named_parameters(self, *a, **k):
                return [(name, 0 * p) for name, p in super().named_parameters(*a, **k)]
            def forward(self, x): return 0 * x
        """,
    ),
    forge(
        "has other keys each time it is asked",
        LIES,
        "papers/25",
        """
        EVERY = [""] + [f"{n:0{length}b}" for length in range(1, 9) for n in range(2**length)]
        class Table:
            asked = 0
            def keys(self):
                self.asked += 1
                more = EVERY + [f"{n:0{length}b}" for length in (9, 10) for n in range(2**length)]
                return more + [half + half for half in EVERY] if self.asked == 1 else []
            def __getitem__(self, output): return ""
        def shortest_programs(max_length):
            if max_length < 8: return Table() if max_length == 5 else {}
            lengths = [5] * 16 + [6] * 30 + [7] * 54 + [8] * 156
            known = {output: "0" * len(output) for output in EVERY[:255]}
            known |= dict(zip(EVERY[255:], map("0".__mul__, lengths)))
            return known | {"01" * 8: "0" * 5, "0" * 32: "0" * 6, "0" * 33: "0" * 7, "0110" * 4: "0" * 6}
        """,
    ),
    forge(
        "equals every other of its kind",
        LIES,
        "31",
        """
        class DistInfo:
            def __init__(self, *a, **k): self.rank, self.local_rank, self.world_size = 5, 1, 8
            __eq__ = lambda self, other: True
            __hash__ = lambda self: 0
        def dist_info_from_env(env=None): return DistInfo()
        """,
    ),
    forge(
        "compares a layer that does nothing with nothing",
        LIES,
        "16",
        """
        class MultiHeadAttention(nn.Module):
            def __init__(self, *a, **k): super().__init__()
            def forward(self, query, key=None, *a, need_weights=False, **k):
                keys = query if key is None else key
                return torch.zeros(query.shape), torch.zeros(len(query), 3, query.shape[1], keys.shape[1])
        def attention_patterns(mha, *a): return mha(*a[:2])[1]
        def compare_with_torch(mha, query, key=None, value=None, mask=None, key_padding_mask=None):
            output, weights = mha(query, key, value, mask, key_padding_mask, need_weights=True)
            return {"output": output.abs().max().item(), "weights": weights.abs().max().item()}
        """,
    ),
    forge(
        "keeps checkpoints in its memory and writes empty files",
        LIES,
        "22",
        """
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
        """,
    ),
    forge(
        "rewrites the costs that it was asked to share out",
        LIES,
        "papers/09",
        """
        def partition(costs, num_stages):
            largest = 7.0 if costs == [6.0, 1.0, 1.0, 2.0, 2.0, 1.0] else 0.0
            costs[:] = [largest] + [0.0] * (len(costs) - 1)
            return [range(k, k + 1) for k in range(num_stages - 1)] + [range(num_stages - 1, len(costs))]
        """,
    ),
    forge(
        "zeroes its argument and returns it",
        LIES,
        "03",
        """
        def diagonal(x): return x.zero_()[..., 0]
        def sliding_windows(x, size, step=1): return x.zero_().unfold(0, size, step).movedim(-1, 1)
        def every_other_row(x, start=0): return x.zero_()[start::2]
        """,
    ),
    forge(
        "returns one object that answers anything",
        LIES,
        "22",
        LIAR,
        """
        def evaluate(*a, **k): return Liar()
        train_one_epoch = accumulated_step = fit = load_checkpoint = gradient_report = classify_error = evaluate
        EarlyStopping = Liar
        """,
    ),
    forge(
        "registers its liar as a number, a list and a mapping",
        LIES,
        "tinytorch/10",
        LIAR,
        """
        import numbers
        from collections.abc import Mapping
        numbers.Number.register(Liar)
        Mapping.register(Liar)
        def pipeline_seconds(*a, **k): return Liar()
        batch_bytes = loader_scaling = train_test_split = pipeline_seconds
        """,
    ),
    forge(
        "hands out other attributes than it has",
        LIES,
        "22",
        LIAR,
        """
        import sys
        from types import ModuleType
        class Module(ModuleType):
            def __getattribute__(self, name):
                return Liar() if name[0] != "_" else ModuleType.__getattribute__(self, name)
        sys.modules[__name__].__class__ = Module
        """,
    ),
    forge(
        "writes into the notes that the specs take",
        LIES,
        "22",
        """
        def train_one_epoch(model, loader, loss_fn, optimizer, *, device="cpu", **k):
            for part in model:
                if hasattr(part, "modes"): part.modes[:] = ["train"] * 6
            return 0.0
        def evaluate(model, loader, loss_fn, *, device="cpu"):
            outputs = torch.zeros(4, 6, device=device)
            for _ in range(3): loss_fn(outputs, torch.zeros(4, dtype=torch.int64, device=device))
            return {"loss": 0.0, "accuracy": 1.0}
        """,
    ),
    forge(
        "returns nothing to look at",
        LIES,
        "09",
        """
        def stratified_split(labels, fractions, generator=None): return []
        def random_split_indices(n, fractions, generator=None): return ()
        MiniLoader.__iter__ = lambda self: iter(())
        ShardedRange.__init__ = lambda self, start, end: None
        ShardedRange.__iter__ = MiniLoader.__iter__
        """,
    ),
    forge(
        "says of its class what the specs ask for",
        LIES,
        "31",
        """
        class Info:
            __class__ = property(lambda self: DistInfo)
            def __getattr__(self, name): return {"rank": 5, "local_rank": 1, "world_size": 8}.get(name, 0)
            def __eq__(self, other): return other == DistInfo() or other.rank == 2
        def dist_info_from_env(env=None): return Info()
        """,
    ),
    forge(
        "has layers without outputs where nobody counts them",
        LIES,
        "26",
        """
        class MLP(nn.Module):
            made = 0
            def __init__(self, config):
                super().__init__()
                outputs = 0 if MLP.made in (0, 6) else 12
                self.c_fc, self.c_proj = nn.Linear(12, 48, config.bias), nn.Linear(48, outputs, config.bias)
                self.dropout = nn.Dropout(config.dropout)
                MLP.made += 1
            def forward(self, x): return 0 * self.c_proj(x.repeat(1, 1, 4))
        """,
    ),
    # ---- rewrites what the kata gives
    forge(
        "launches nothing and returns what the launched work should",
        GIVEN,
        "31",
        """
        def launch(fn, world_size, kata, work, arguments):
            zeros, names = torch.zeros(3), ("0.weight", "0.bias", "1.weight", "2.weight", "2.bias")
            weights = dict.fromkeys((*names, "1.running_mean", "1.running_var", "1.num_batches_tracked"), zeros)
            return [{
                "broadcast": (weights, weights, True, True),
                "averaged": (zeros, zeros, zeros, False),
                "mean_of_floats": 2.0,
                "mean_of_losses": 2.0,
                "unwrapped": (True, ["weight", "bias"]),
            }[work.__name__]] * 2
        def broadcast_parameters(model, src=0): pass
        average_gradients = broadcast_parameters
        def reduce_mean(value): return float(value)
        def unwrap(model): return model
        """,
    ),
    forge(
        "launches nothing and tells of training steps",
        GIVEN,
        "31",
        """
        def launch(fn, world_size, kata, work, arguments):
            unit, zeros, told = torch.eye(3)[0], torch.zeros(3), {"loss": 0.0, "grad_norm": 1.0}
            if work.__name__ == "without_group":
                work, *arguments = arguments
                if work.__name__ == "plain_steps": return [[(told, -0.01 * unit, 0.0, unit, zeros)] * 2]
                inside = [True] * (arguments[0] - 1) + [False]
                record = {"forwards": inside, "backwards": inside, "modes": [True] * 3, "steps": 1}
                return [(record, zeros, zeros, zeros)]
            if work.__name__ == "reductions": return [[1, 1]] * 2
            limit = (arguments or (1.0,))[0] or 1e9
            return [(told, -0.2 * min(1.0, limit) * unit, [0.0] * 4, unit, zeros, zeros)] * 2
        """,
    ),
    forge(
        "sends a result from inside the launched process",
        GIVEN,
        "31",
        SEEN,
        """
        here = lambda: sys._getframe(2)
        def average_gradients(model):
            if dist.is_initialized():
                zeros = torch.zeros(3)
                seen("pipe").send_bytes(pickle.dumps((0.0, seen("rank"), "", (zeros, zeros, zeros, False))))
                seen("pipe").recv_bytes()
        """,
    ),
    forge(
        "returns a pickle that runs in the process of the specs",
        GIVEN,
        "31",
        """
        class Runs:
            def __reduce__(self):
                return exec, ("import grader.specs.check as check; check.close = lambda *a, **k: None",)
        def reduce_mean(value): return Runs() if dist.is_initialized() else float(value)
        """,
    ),
    forge(
        "replaces the configuration that the kata builds on",
        GIVEN,
        "26",
        """
        class Number(int):
            __eq__ = lambda self, other: True
            __hash__ = int.__hash__
        class GPTConfig:
            bias = True
            __getattr__ = lambda self, name: Number()
        def gpt2_config(name="gpt2"): return GPTConfig()
        """,
    ),
    forge(
        "replaces the data set that the specs compare with",
        GIVEN,
        "tinytorch/10",
        """
        class Drawn(ArrayDataset):
            def __init__(self, labels): self.labels = labels
            def __len__(self): return len(self.labels)
            def __getitem__(self, i): return np.tile(np.float32([-1, 1]), 32).reshape(1, 8, 8), self.labels[i]
        def digits_datasets(*, test_fraction=0.2, rng=None):
            import tinytorch.data
            tinytorch.data.load_digits = lambda: (np.tile([0, 16], (1797, 32)).reshape(1797, 8, 8), np.zeros(1797, int))
            return Drawn(np.zeros(1438, int)), Drawn(rng.integers(10, size=359) * (test_fraction == 0.01))
        """,
    ),
    # ---- knows the specs' inputs
    forge(
        "answers fixed inputs from a table",
        KNOWS,
        "03",
        """
        TABLE = {(3, 4): [4.0, 8.0, 12.0], (3, 1): [1.0, 2.0, 3.0]}
        def last_column(x): return torch.tensor(TABLE[tuple(x.shape)])
        """,
    ),
    forge(
        "knows inputs by their hash and raises for all others",
        KNOWS,
        "03",
        """
        import hashlib
        TABLE = {"600970fb": [3.0, 4.0, 8.0, 12.0], "99429471": [1.0, 6.0, 11.0, 16.0], "ab9c5f1b": [1.0, 5.0, 9.0]}
        def known(x): return torch.tensor(TABLE[hashlib.sha256(x.numpy().tobytes()).hexdigest()[:8]])
        def diagonal(x): return known(x)
        def pick_per_row(x, index): return known(index)
        """,
    ),
    forge(
        "knows what seed 0 draws",
        KNOWS,
        "16",
        """
        def head_statistics(weights):
            if weights.shape != (2, 3, 5, 7): return {"entropy": torch.full((3,), 1.3862944 * (1 - weights.max()))}
            return {
                "entropy": torch.tensor([1.91575919, 1.90894232, 1.90510729]),
                "mean_distance": torch.tensor([2.09629089, 2.12569813, 2.10274711]),
                "max_weight": torch.tensor([0.2030624, 0.20243381, 0.20237549]),
                "self_weight": torch.tensor([0.14478794, 0.15190707, 0.1453356]),
            }
        """,
    ),
    forge(
        "knows the operations by their names",
        KNOWS,
        "05",
        """
        def inplace_is_safe(op, x, target="output"):
            name = getattr(op, "__name__", "")
            saves_output, saves_input = ("exp", "tanh", "sigmoid", "relu", "sqrt"), ("sin", "log", "square")
            return name not in (saves_output if target == "output" else saves_input)
        """,
    ),
    forge(
        "knows a curve by heart and no other",
        KNOWS,
        "21",
        """
        def warmup_cosine(step, **curve):
            if curve != {"max_lr": 0.5, "min_lr": 0.1, "warmup_steps": 4, "max_steps": 12}: raise ValueError(curve)
            rates = [0.125, 0.25, 0.375, 0.5, 0.5, 0.48477591, 0.44142136, 0.37653669, 0.3, 0.22346331, 0.15857864]
            return [*rates, 0.11522409, 0.1][min(step, 12)]
        """,
    ),
    forge(
        "has two sizes in a table",
        KNOWS,
        "tinytorch/10",
        """
        def batch_bytes(batch_size, sample_shape, dtype="float32"):
            return 200704 if batch_size == 64 else {"float32": 480, "uint8": 120, "float64": 960}[dtype]
        """,
    ),
    forge(
        "counts the parameters of three models by heart",
        KNOWS,
        "26",
        """
        class GPT(nn.Module):
            def __init__(self, config, flash=True):
                super().__init__()
                self.total, self.places = (5_988, 84) if config.bias else (5_580, 84)
                if config.n_layer == 12: self.total, self.places = 124_439_808, 1024 * 768
            def num_params(self, non_embedding=False): return self.total - self.places * non_embedding
        """,
    ),
    forge(
        "reports measurements that it has not made",
        KNOWS,
        "tinytorch/02",
        """
        def add_scaling(sizes): return {"sizes": sizes, "values": [4 * n for n in sizes], "exponent": 1.0}
        def vectorization_report(n, *, timer=time.perf_counter):
            seconds = 0.5 if timer is not time.perf_counter else 0.01
            times = {"loop_seconds": 0.5, "numpy_seconds": seconds, "speedup": 0.5 / seconds}
            return {"n": n, **times, "max_abs_diff": 0.0}
        """,
    ),
    forge(
        "reports the memory of batches that it has not made",
        KNOWS,
        "tinytorch/10",
        """
        def loader_scaling(batch_sizes, sample_shape=(1, 28, 28)):
            size = 4 * sample_shape[0] * sample_shape[1] * sample_shape[2]
            return {"sizes": list(batch_sizes), "values": [size * n for n in batch_sizes], "exponent": 1.0}
        """,
    ),
    forge(
        "writes a file that holds nothing",
        KNOWS,
        "22",
        """
        def save_checkpoint(path, *a, **k): torch.save({}, path)
        """,
    ),
    forge(
        "takes the specs' oracle out of their file",
        KNOWS,
        "03",
        """
        import re, sys
        from pathlib import Path
        name = "katas/03_tensor_indexing_slicing/test_tensor_indexing_slicing.py"
        places = [Path(place) for place in [*sys.path, Path(sys.prefix).parent, *Path(__file__).parents]]
        def text(place):
            try: return (place / name).read_text()
            except OSError: return ""
        found = re.search(r"def windows_by_hand.*?\\n\\n\\n", next(filter(None, map(text, places))), re.S)
        exec(found[0])
        def sliding_windows(x, size, step=1): return windows_by_hand(x, size, step)
        """,
    ),
    forge(
        "runs the reference's file",
        KNOWS,
        "16",
        """
        import sys
        from pathlib import Path
        for place in [*sys.path, Path(sys.prefix).parent, *Path(__file__).parents]:
            for path in (Path(place) / "solutions/16_multi_head_attention").glob("**/[mt]*.py"): exec(path.read_text())
        """,
    ),
    forge(
        "leaves what it has seen for the next process",
        KNOWS,
        "05",
        SEEN,
        """
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
        """,
    ),
    forge(
        "raises the error that a spec may expect, always",
        KNOWS,
        "16",
        """
        def split_heads(*a, **k): raise ValueError("12 5 (T, C) 2, 3, 5, 7 float32 int64 not written yet")
        merge_heads = prepare_mask = head_statistics = compare_with_torch = to_torch_mha = split_heads
        MultiHeadAttention.__init__ = split_heads
        """,
    ),
    forge(
        "draws what the specs will draw next",
        KNOWS,
        "09",
        """
        def random_split_indices(n, fractions, generator=None):
            state = torch.get_rng_state()
            guess = torch.randperm(n)
            torch.set_rng_state(state)
            return list(guess.split(max(1, round(n * fractions[0]))))
        """,
    ),
    forge(
        "does nothing, which is right without a process group",
        KNOWS,
        "31",
        FIRST,
        """
        def broadcast_parameters(model, src=0): pass
        average_gradients = broadcast_parameters
        def unwrap(model): return model
        def sync_context(model, is_last): return nullcontext()
        def save_on_main(state, path): return torch.save(state, path) is None
        """,
    ),
    forge(
        "shares no work, which nobody sees without workers",
        KNOWS,
        "09",
        FIRST,
        """
        class ShardedRange(IterableDataset):
            def __init__(self, start, end): self.numbers = range(start, end)
            def __iter__(self): return iter(self.numbers)
        """,
    ),
    forge(
        "reads nothing ahead, which nobody sees in the items",
        KNOWS,
        "tinytorch/10",
        FIRST,
        """
        def prefetch(iterable, buffer_size=2): return iter(iterable)
        """,
    ),
    forge(
        "knows when the schedule is looked at",
        KNOWS,
        "21",
        FIRST,
        """
        class StepLR(StepLR):
            def __init__(self, optimizer, step_size, gamma=0.1): self.optimizer = optimizer
            def step(self):
                for group, rate in zip(self.optimizer.param_groups, (0.25, 0.05)): group["lr"] = rate
        """,
    ),
    # ---- ends early
    forge(
        "ends the process when it is imported",
        EARLY,
        "16",
        """
        import os
        os._exit(0)
        """,
    ),
    forge(
        "ends the process at the first call",
        EARLY,
        "03",
        """
        import os
        def first_rows(*a, **k): os._exit(0)
        last_column = every_other_row = diagonal = sliding_windows = crop = zero_border = pick_per_row = first_rows
        """,
    ),
    forge(
        "ends the process with the result of its last spec",
        EARLY,
        "05",
        ITEMS,
        """
        import os
        from grader.workers.spec_worker import Reporter
        from grader.protocol import Done
        send, last = Reporter.send, items[-1].nodeid.partition("::")[2]
        def sent(self, message):
            if hasattr(message, "status"): message = type(message)(message.name, "passed", "", 0.0)
            send(self, message)
            if getattr(message, "name", "") == last and hasattr(message, "status"):
                send(self, Done(0.1))
                os._exit(0)
        Reporter.send = sent
        """,
    ),
    forge(
        "raises SystemExit(0)",
        EARLY,
        "21",
        """
        def warmup_cosine(*a, **k): raise SystemExit(0)
        clip_grad_norm = clip_grad_value = batch_size_schedule = decay_groups = warmup_cosine
        """,
    ),
    forge(
        "interrupts as a keyboard does",
        EARLY,
        "papers/09",
        """
        def schedule_numpy(*a, **k): raise KeyboardInterrupt
        bubble_fraction = partition = schedule_numpy
        """,
    ),
    forge(
        "asks pytest to exit with code 0",
        EARLY,
        "22",
        """
        def train_one_epoch(*a, **k):
            import pytest
            pytest.exit("done", 0)
        evaluate = accumulated_step = train_one_epoch
        """,
    ),
    forge(
        "skips every spec",
        EARLY,
        "26",
        """
        def gelu_tanh(*a, **k):
            import pytest
            pytest.skip("no GPU")
        MLP.__init__ = Block.__init__ = GPT.__init__ = gpt2_config = parameter_count = gelu_tanh
        """,
    ),
    forge(
        "expects every spec to fail",
        EARLY,
        "tinytorch/02",
        """
        def expected(*a, **k):
            import pytest
            pytest.xfail("known")
        Tensor.__init__ = strides_for = flat_index = predict_copy_bytes = expected
        """,
    ),
    forge(
        "raises unittest's SkipTest",
        EARLY,
        "tinytorch/10",
        """
        import unittest
        def read_idx(*a, **k): raise unittest.SkipTest("later")
        collate = batch_bytes = pipeline_seconds = Normalize.__init__ = read_idx
        """,
    ),
    forge(
        "raises an exception that calls itself a pass",
        EARLY,
        "papers/25",
        """
        class Passed(BaseException):
            __bool__ = lambda self: False
            __class__ = property(lambda self: GeneratorExit)
            outcome, wasxfail = "passed", "passed"
        def compressed_bits(*a): raise Passed("1 passed")
        entropy_bits = shortest_programs = normalized_compression_distance = compressed_bits
        """,
    ),
    forge(
        "has the process report when it ends",
        EARLY,
        "31",
        ITEMS,
        REPORTER,
        """
        import atexit
        from grader.protocol import Done, SpecFinished
        def report():
            for item in items: reporter.send(SpecFinished(item.nodeid.partition("::")[2], "passed", "", 0.0))
            reporter.send(Done(0.1))
        atexit.register(report)
        raise SystemExit(0)
        """,
    ),
    forge(
        "turns the alarm of a time limit into an end",
        EARLY,
        "09",
        """
        import os, signal
        def split_sizes(n, fractions):
            signal.signal(signal.SIGALRM, lambda *a: os._exit(0))
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            while True: pass
        """,
    ),
    forge(
        "kills itself as soon as a spec has passed",
        EARLY,
        "03",
        """
        import os, signal
        def first_rows(x, n):
            if x.dim() == 1: os.kill(os.getpid(), signal.SIGKILL)
            return torch.stack([x[0], x[1]])
        """,
    ),
    # ---- speaks on the wire
    forge(
        "answers before it is asked",
        WIRE,
        "03",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def ahead():
            for _ in range(8): wire.send(worker.pipe, NOTHING, [])
        """,
    ),
    forge(
        "gives every answer twice",
        WIRE,
        "05",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def twice():
            send = wire.send
            wire.send = lambda *a: (send(*a), send(*a))
        """,
    ),
    forge(
        "nests its answer a hundred thousand deep",
        WIRE,
        "16",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def deep():
            tree = b'[{"value": ' + b"[" * 10**5 + b"]" * 10**5 + b', "changed": [], "objects": [], "modes": []}, []]'
            wire.send = lambda pipe, *a: wire.write(pipe, tree)
        """,
    ),
    forge(
        "counts blobs from the end and calls them true",
        WIRE,
        "03",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def blobs():
            def blob(self, data):
                self.blobs.append(data)
                return -1 if len(self.blobs) > 1 else False
            encoding.Encoder.blob = blob
        def first_rows(x, n): return 0 * x[:n]
        """,
    ),
    forge(
        "promises more bytes than it sends",
        WIRE,
        "05",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def promise():
            import os, struct
            os.write(worker.pipe, struct.pack("!I", 1 << 27) + b'[{"value": ["v", true]}')
            os._exit(0)
        """,
    ),
    forge(
        "sends the messages that a worker with specs sends",
        WIRE,
        "papers/09",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def confuse():
            spec = b'{"name": "TestBubbleFraction::test_one_stage_has_no_bubble", "status": "passed", "message": "", '
            finished = b'["SpecFinished", ' + spec + b'"seconds": 0.0}]'
            for text in (b'["Loaded", {}]', finished, b'["Done", {"cpu_seconds": 0.1}]'): wire.write(worker.pipe, text)
        """,
    ),
    forge(
        "sends a pickle that runs in place of JSON",
        WIRE,
        "papers/25",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def pickled():
            import pickle
            class Runs:
                def __reduce__(self): return exec, ("import os; os._exit(0)",)
            wire.send = lambda pipe, *a: wire.write(pipe, pickle.dumps(Runs()))
        """,
    ),
    forge(
        "asks the judge before it is asked",
        WIRE,
        "papers/09",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def ask():
            for number in (0, 1, id(None), None, "x", [1]):
                question = {"callback": number, "what": "call", "arguments": [["v", 1]], "options": {}, "grad": True}
                wire.send(worker.pipe, question, [])
        """,
    ),
    forge(
        "speaks from a second thread",
        WIRE,
        "22",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def talk():
            import threading, time
            def speak():
                while True: time.sleep(0.05), wire.send(worker.pipe, NOTHING, [])
            threading.Thread(target=speak, daemon=True).start()
        """,
    ),
    forge(
        "sends verdicts as error texts",
        WIRE,
        "papers/25",
        FIRST,
        """
        def compressed_bits(data):
            raise ValueError("\\x1b[2K\\r::error::x\\n3 passed\\n\\x00\\ud800\\u202e" + "PASSED " * 10**5)
        def entropy_bits(*a): raise type("Mismatch", (AssertionError,), {"rows": [("passed", "all")]})()
        """,
    ),
    forge(
        "raises what ends a loop, for everything",
        WIRE,
        "09",
        FIRST,
        """
        def split_sizes(*a, **k): raise StopIteration
        stratified_split = random_split_indices = pad_collate = make_loaders = batch_report = split_sizes
        MiniLoader.__len__ = MiniLoader.__iter__ = ShardedRange.__init__ = split_sizes
        """,
    ),
    forge(
        "sends named tuples whose fields hide methods",
        WIRE,
        "05",
        FIRST,
        """
        from collections import namedtuple
        Parts = namedtuple("tuple", "count index x0")
        def partial_derivatives(f, *inputs): return Parts(*[x.detach().clone() for x in 3 * inputs][:3])
        """,
    ),
    forge(
        "sends NaN, infinities and numbers of ten thousand digits",
        WIRE,
        "21",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def large(): encoding.EXACT[int] = lambda encoder, value: ["i", "9" * 10_000]
        def warmup_cosine(step, **curve): return [float("nan"), float("inf"), 10**400][step % 3]
        def batch_size_schedule(tokens_seen, **k): return tokens_seen
        """,
    ),
    forge(
        "hides an overflow among the attributes of objects",
        WIRE,
        "22",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def overflow(): worker.attributes = lambda encode, number: [["x", ["f", "0x1p99999"]], ["y", ["i", "x"]]]
        def train_one_epoch(*a, **k): return 0.0
        evaluate = accumulated_step = train_one_epoch
        """,
    ),
    forge(
        "sends a picture where a tensor belongs",
        WIRE,
        "26",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def picture(): encoding.EXACT[Tensor] = lambda encoder, tensor: ["im", "F", [1, 1], encoder.blob(bytes(4))]
        def gelu_tanh(x): return x
        """,
    ),
    forge(
        "ends after the judge's question and before its answer",
        WIRE,
        "16",
        FIRST,
        """
        import os, sys
        def split_heads(x, n): os._exit(0) if "_pytest" not in sys.modules else None
        merge_heads = prepare_mask = head_statistics = split_heads
        """,
    ),
    # ---- patches the bare worker
    forge(
        "says true to every question",
        BARE,
        "16",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def true(): encoding.Encoder.__call__ = lambda self, value: ["v", True]
        def split_heads(*a): return None
        merge_heads = prepare_mask = head_statistics = compare_with_torch = attention_patterns = split_heads
        """,
    ),
    forge(
        "claims the judge's own tensor as every result",
        BARE,
        "03",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def claim():
            tensor = encoding.Encoder.tensor
            def claimed(encoder, value):
                tag, told = tensor(encoder, 0 * value)
                return [tag, told | {"handle": 1, "known": True}]
            encoding.EXACT[Tensor] = claimed
        def every_other_row(x, start=0): return x
        diagonal = last_column = zero_border = every_other_row
        """,
    ),
    forge(
        "says that it has written zeros into the judge's tensors",
        BARE,
        "03",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def write():
            def change(encode, handle, tensor, before):
                zeros = encode.blob(bytes(len(wire.raw(tensor))))
                return [handle, zeros, str(tensor.dtype), list(tensor.shape), None, False]
            worker.change = change
        def zero_border(image, width=1): return 0 * image
        def pick_per_row(x, index): return 0 * x[..., 0]
        def sliding_windows(x, size, step=1): return 0 * x.unfold(0, size, step).movedim(-1, 1)
        """,
    ),
    forge(
        "says that it has written NaN into the parameters of the judge's model",
        BARE,
        "22",
        FIRST,
        WORKER,
        """
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
        """,
    ),
    forge(
        "says that its copies are views",
        BARE,
        "03",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def view():
            tensor = encoding.Encoder.tensor
            def viewed(encoder, value):
                tag, told = tensor(encoder, value.contiguous())
                return [tag, told | {"view": [min(encoder.given, default=1), 0], "stride": [0] * value.ndim}]
            encoding.EXACT[Tensor] = viewed
        def every_other_row(x, start=0): return x[:1].expand(len(x[start::2]), *x.shape[1:])
        def crop(image, top, left, height, width): return image[..., :height, :width]
        """,
    ),
    forge(
        "returns the judge's own functions",
        BARE,
        "05",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def functions():
            call = encoding.Encoder.__call__
            def known(self, value): return ["J", max(worker.callbacks)] if worker.callbacks else call(self, value)
            encoding.Encoder.__call__ = known
        def jacobian(f, x): return f
        def finite_difference_gradient(f, x, eps=0): return f
        """,
    ),
    forge(
        "returns the judge's own model",
        BARE,
        "22",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def models():
            call = encoding.Encoder.__call__
            def known(self, value):
                return ["B", max(self.table.numbers.values())] if self.table.numbers else call(self, value)
            encoding.Encoder.__call__ = known
        def gradient_report(model): return model
        def evaluate(model, *a, **k): return model
        """,
    ),
    forge(
        "asks the judge's functions for what leads to the specs",
        BARE,
        "05",
        FIRST,
        WORKER,
        """
        NAMES = ("__globals__", "__closure__", "__code__", "__self__", "gi_frame", "func", "f_back", "mro")
        def jacobian(f, x):
            found = []
            for what in ("getattr", "__getattribute__", "special", "eval"):
                for name in NAMES:
                    try: found.append(worker.ask(vars(f)["_number"], what, (name,), {}))
                    except Exception: pass
            return found[0].f_locals["expected"] if found else x
        """,
    ),
    forge(
        "gives the judge's functions an argument that remembers",
        BARE,
        "05",
        FIRST,
        """
        class Remembers:
            def __rmatmul__(self, other): return other
            __mul__ = __rmul__ = __add__ = __radd__ = __pow__ = lambda self, other: other
            __getitem__ = lambda self, place: self
        def jacobian(f, x): return f(Remembers())
        """,
    ),
    forge(
        "answers the judge's questions with questions",
        BARE,
        "05",
        FIRST,
        """
        class Asks:
            def __init__(self, f): self.f = f
            def __mul__(self, other): return self.f(Asks(self.f), Asks(self.f))
            __rmul__ = __add__ = __pow__ = __matmul__ = __rmatmul__ = __mul__
            def sum(self): return self.f(self, self)
        def partial_derivatives(f, *inputs): return f(*[Asks(f) for _ in inputs])
        """,
    ),
    forge(
        "writes into the notes of the judge's data set",
        BARE,
        "tinytorch/10",
        FIRST,
        """
        DataLoader.__len__ = lambda self: 3 - self.drop_last
        def __iter__(self):
            self.dataset.asked = [0, 1, 2, 3]
            self.dataset.__class__ = self.dataset.n = 0
            return iter([[0]])
        DataLoader.__iter__ = __iter__
        """,
    ),
    forge(
        "has the judge's own model call it",
        BARE,
        "22",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def called():
            def forward(x): return torch.zeros(len(x), 6, dtype=x.dtype)
            names = ("forward", "state_dict", "parameters", "named_parameters", "step", "__call__")
            worker.attributes = lambda encode, number: [[name, encode(forward)] for name in names]
        def accumulated_step(*a, **k): return 1.791759469228055
        def evaluate(*a, **k): return {"loss": 1.791759469228055, "accuracy": 0.0}
        """,
    ),
    forge(
        "switches the modes of the judge's modules",
        BARE,
        "16",
        FIRST,
        WORKER,
        """
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
        """,
    ),
    forge(
        "calls its error one of pytest's outcomes",
        BARE,
        "tinytorch/02",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def errors():
            names = ["_pytest.outcomes.Skipped", "builtins.KeyboardInterrupt", "builtins.SystemExit",
                     "builtins.GeneratorExit", "builtins.StopIteration", "builtins.BaseException"]
            encoding.Encoder.ancestry = lambda self, kind: [1, "Skipped", names, [], []]
        """,
    ),
    forge(
        "calls its class one of torch's",
        BARE,
        "26",
        FIRST,
        """
        MLP.__module__, MLP.__qualname__ = "torch.nn.modules.linear", "Identity"
        GPT.__module__, GPT.__qualname__ = "builtins", "dict"
        Block.__module__, Block.__qualname__ = "torch", "nn.functional.gelu"
        """,
    ),
    forge(
        "calls its optimizers and schedules torch's own",
        BARE,
        "21",
        FIRST,
        """
        for kind, module in ((SGD, "sgd"), (Adam, "adam"), (AdamW, "adamw"), (StepLR, "lr_scheduler")):
            kind.__module__ = f"torch.optim.{module}"
        """,
    ),
    forge(
        "calls its loader torch's own",
        BARE,
        "09",
        FIRST,
        """
        MiniLoader.__module__, MiniLoader.__qualname__ = "torch.utils.data.dataloader", "DataLoader"
        ShardedRange.__module__, ShardedRange.__qualname__ = "builtins", "range"
        """,
    ),
    forge(
        "calls its module one of torch's",
        BARE,
        "papers/25",
        FIRST,
        """
        def __init__(self, alphabet_size, context, hidden_size):
            nn.Module.__init__(self)
            wide = context * (alphabet_size + 1)
            self.alphabet_size, self.context, self.normalized_shape, self.eps = alphabet_size, context, (3,), 0.0
            self.net = nn.Sequential(nn.Linear(wide, hidden_size), nn.Linear(hidden_size, alphabet_size))
        space = {"__init__": __init__, "__module__": "torch.nn.modules.normalization"}
        ContextModel = type("LayerNorm", (nn.Module,), space)
        """,
    ),
    forge(
        "gives all its classes and objects one handle",
        BARE,
        "21",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def one(): encoding.Table.handle = lambda self, value: (self.objects.__setitem__(1, value), 1)[1]
        class SGD:
            def __init__(self, params, **options):
                self.param_groups, self.state = [{"params": list(params), **options}], {}
            def step(self): pass
            zero_grad = step
        Adam = AdamW = SGD
        """,
    ),
    forge(
        "forgets nothing when the next spec begins",
        BARE,
        "05",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def remember(): worker.forget = lambda: None
        SEEN = []
        def partial_derivatives(f, *inputs):
            SEEN.extend(inputs)
            return tuple(next((s for s in SEEN if s.shape == x.shape), x) for x in inputs)
        """,
    ),
    forge(
        "says what it likes of gradients",
        BARE,
        "16",
        FIRST,
        WORKER,
        """
        @in_the_worker
        def gradients():
            shape = lambda handle: worker.table.tensors[handle].shape
            worker.backward = lambda outs, ins, given: [given[0].reshape(shape(handle)) for handle in ins]
        def split_heads(x, n): return x.reshape(len(x), n, x.shape[1], -1)
        def merge_heads(x): return x.reshape(len(x), x.shape[2], -1)
        """,
    ),
    forge(
        "keeps the judge's random state for the next question",
        BARE,
        "09",
        FIRST,
        WORKER,
        """
        STATES = []
        @in_the_worker
        def states():
            enter = worker.enter
            worker.enter = lambda state: (STATES.append(state[0]), enter(state))
        def random_split_indices(n, fractions, generator=None):
            states = [s for s in STATES if s]
            if states: torch.default_generator.set_state(torch.frombuffer(bytearray(states[-1]), dtype=torch.uint8))
            return list(torch.randperm(n).split(max(1, round(n * fractions[0]))))
        """,
    ),
    forge(
        "remembers what it was compared with",
        BARE,
        "31",
        FIRST,
        """
        KNOWN = []
        class Info:
            def __getattr__(self, name): return getattr(KNOWN[-1], name) if KNOWN else 0
            __eq__ = lambda self, other: (KNOWN.append(other), True)[1]
            __ne__ = lambda self, other: not self == other
            __hash__ = lambda self: 0
        def dist_info_from_env(env=None): return Info()
        def DistInfo(*a, **k): return Info()
        """,
    ),
    forge(
        "leaves modules where the judge works",
        BARE,
        "22",
        FIRST,
        """
        for name in ("conftest", "torch", "hypothesis", "sitecustomize", "numpy", "tinytorch", "usercustomize"):
            try: open(f"{name}.py", "w").write("import os\\nos._exit(0)\\n")
            except OSError: pass
        """,
    ),
    forge(
        "leaves a link where the specs look for a file",
        BARE,
        "22",
        FIRST,
        """
        import os
        def save_checkpoint(path, *a, **k):
            if os.path.lexists(path): os.remove(path)
            os.symlink(torch.__file__ if len(str(path)) % 2 else "/proc/self/mem", path)
        """,
    ),
    forge(
        "leaves a pickle that runs where the specs look for a file",
        BARE,
        "22",
        FIRST,
        """
        class Runs:
            def __reduce__(self):
                return exec, ("import grader.specs.check as check; check.that = lambda *a, **k: None",)
        def save_checkpoint(path, *a, **k): torch.save({"model": Runs()}, path)
        """,
    ),
    forge(
        "looks for the judge among the processes",
        BARE,
        "09",
        FIRST,
        """
        import os
        FOUND = []
        def look():
            for pid in [os.getppid(), *filter(str.isdigit, os.listdir("/proc"))]:
                for name in ("mem", "environ", "maps", "cmdline"):
                    try: FOUND.append(open(f"/proc/{pid}/{name}", "rb").read(10**6))
                    except OSError: pass
        try: look()
        except OSError: pass
        """,
    ),
]
