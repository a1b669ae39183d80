"""What PyTorch's errors mean: the sentence of each, on lines that raise it, and silence
where a word would be false.
"""

import ast
import re
import traceback
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from grader.specs import meanings, reading

SPEAKS = {
    "(x == x).mean()":
        "`x == x` holds bool, and a mean is taken of floating-point numbers",
    "torch.mean(i)": "`i` holds int64, and a mean",
    "1 if x > 0 else 2": "one yes or no is asked of many elements",
    "0 < x < 1": "one yes or no is asked of many elements",
    "x.sum().backward()": "there is no graph to go back through",
    "torch.autograd.grad(x.sum(), w)": "there is no graph to go back through",
    "torch.autograd.grad(w.sum(), v)":
        "no graph leads from the result to one of these tensors",
    "torch.autograd.grad((w * 2).sum(), [w, v])":
        "no graph leads from the result to one of these tensors",
    "w -= 1": "`w` requires grad and was not computed from others",
    "w[0] = 0": "`w` requires grad and was not computed from others",
    "y = w.sigmoid(); y += 1; y.sum().backward()":
        "of shape (3,), to autograd a result of sigmoid, as it was",
    "y = w.exp(); y.mul_(2); y.sum().backward()":
        "of shape (3,), to autograd a result of exp, as it was",
    "fc(x)": "`fc` takes 4 features in the last dimension, and its input has 3",
    "F.relu(fc(x.T))":
        "`fc` takes 4 features in the last dimension, and its input has 2",
    "conv(torch.ones(1, 8, 8, 3))": "the layer takes 3, and (1, 8, 8, 3) has 8 there",
    "conv(torch.ones(2, 1, 8, 8))": "the layer takes 3, and (2, 1, 8, 8) has 1 there",
    "F.mse_loss(x, torch.ones(2))":
        "at dimension 1 of the result the sizes are 3 and 2",
    "torch.where(x > 0, x, torch.ones(4, 1, 2))":
        "at dimension 2 of the result the sizes are",
    "x @ x.T.double()": "`x` is float32 and `x.T.double()` float64",
    "fc(torch.ones(1, 4).double())":
        "`torch.ones(1, 4).double()` is float64 and `fc` float32",
    "x @ i.T @ x @ x.T":
        "a product takes tensors of one dtype, and these are float32 and int64",
    "F.cross_entropy(x, torch.tensor([0.0, 1.0]))":
        "class numbers, of dtype int64, and these hold float32",
    "F.nll_loss(x, torch.tensor([0.0, 1.0]))":
        "class numbers, of dtype int64, and these hold float32",
    "emb(x)": "ids are whole numbers, of dtype int64, and these hold float32",
    "F.embedding(x.double(), x)":
        "ids are whole numbers, of dtype int64, and these hold float64",
    "x[x]": "an index is of dtype int64, and a mask of bool: this is neither",
    "F.one_hot(x)": "an index is of dtype int64, and a mask of bool: this is neither",
    "x.gather(1, x)": "an index is of dtype int64, and a mask of bool: this is neither",
    "x.index_select(0, w)":
        "an index is of dtype int64, and a mask of bool: this is neither",
    "x[2]": "along a dimension of size 2, indices are 0 to 1",
    "x[:, i + 3]": "along a dimension of size 3, indices are 0 to 2",
    "x[:0][0]": "along a dimension of size 0, there is no index",
    "F.cross_entropy(x, torch.tensor([0, 3]))": "a target is 3, and classes go from 0",
    "F.nll_loss(x, torch.tensor([0, 7]))": "a target is 7, and classes go from 0",
    "emb(i + 5)": "`emb` has 5 rows, so ids are 0 to 4",
    "F.embedding(i + 5, x)": "an id is below 0, or not below the number of rows",
    "x.sum(2)": "here to 1, or from the end, here from −1 to −2: 2 is none of them",
    "x.unsqueeze(-5)":
        "here to 2, or from the end, here from −1 to −3: −5 is none of them",
    "x.view(4, 2)": "(4, 2) has 8 places, and there are 6 numbers",
    "x.reshape(-1, 4)": "6 numbers cannot be shared out in parts of 4",
    "torch.cat([x, torch.ones(2, 2)])":
        "one has 3 where tensor 1, counted from 0, has 2",
    "torch.cat([x, x, torch.ones(4, 3)], 1)":
        "one has 2 where tensor 2, counted from 0, has 4",
    "(w * 2).backward()": "backward starts from one number",
    "loss = w * 2; loss.backward()":
        "backward starts from one number, and `loss` has shape (3,)",
    "emb.load_state_dict({})": "the state lacks weight",
    "fc.load_state_dict({'weigth': x, 'bias': w})":
        "the first that is missing is weight, the first unknown weigth",
    "emb.load_state_dict({'weight': torch.ones(5, 2), 'more': w})":
        "the module has no more",
    "x.max(1).shape": "max along a dimension returns two tensors: .values and .indices",
    "x - x.max(1)": "max along a dimension returns two tensors: .values and .indices",
    "torch.relu(x.topk(1))":
        "topk along a dimension returns two tensors: .values and .indices",
    "0.5 < x.min(0)": "min along a dimension returns two tensors: .values and .indices",
    "x.sort().mean()":
        "sort along a dimension returns two tensors: .values and .indices",
    "x + x.to('meta')": "two devices meet here",
    "far = torch.ones(1, 4).to('meta'); fc(far)":
        "two devices meet here: `fc` on cpu, `far` on meta",
    "i.add_(0.5)": "keeps its tensor's dtype, int64, and the result is float32",
    "i /= 2": "keeps its tensor's dtype, int64, and the result is float32",
    "torch.tensor([1, 2], requires_grad=True)":
        "gradients are taken of floating-point numbers",
    "q, k = torch.ones(2, 3, 5, 4), torch.ones(2, 3, 7, 4); q @ k.T":
        "`k.T` turns all dimensions around: .mT",
    "x - x.mean(1)":
        "`x.mean(1)` drops its dimension, and keepdim=True keeps it with size 1",
    "x / torch.ones(2, 3).sum(dim=-1)":
        "the sizes are 3 and 2: they must be equal, or one of them 1",
    "w.numpy()": "the tensor belongs to a graph",
    "(w * 2).numpy()": "the tensor belongs to a graph",
    "x.reshape(2, (3, 1))": "a whole tuple stands among the sizes",
    "x.view(2, x.shape)": "a whole tuple stands among the sizes",
    "t = (x,); t > 0": "`t` is a tuple of 1, not a tensor or number",
    "t = (x, w); t.mean()": "`t` is a tuple of 2, not a tensor or number",
    "[x].mean()": "a tensor has `mean`, and a list does not",
    "[x, x].to('cpu')": "a tensor has `to`, and a list does not",
    "x.mean().item().backward()": "a plain number of Python has no `backward`",
    "sum([]).mean()": "a plain number of Python has no `mean`",
    "name = 'cat.png'; name.to('cpu')": "`name` is 'cat.png', which has no `to`",
    "state = {'a': 1}; len(state.step)": "`state` is {'a': 1}, which has no `step`",
    "self = fc; self.wieght": "`self.wieght` is read here, and not set; `weight` is",
    "ctx = object(); ctx.slope": "`ctx.slope` is read here, and not set",
    "(x.max(1) == i[:, 0]).float()": "one plain bool",
    "(x == 'a').any()": "one plain bool",
    "x.numpy().unsqueeze(0)": "this is NumPy's",
    "x.numpy().mean().clamp(0)": "this is NumPy's",
    "parts = [x]; parts[1]": "`parts` has 1 item, so indices are 0 to 0",
    "parts = []; parts[-1].sum()": "`parts` has 0 items, so there is no index",
    "np.array([[1, 2], [3]])": "one array is asked of items that differ in shape",
    "np.array([1, [3, 4]])": "one array is asked of items that differ in shape",
    "torch.stack([x, w])": "the first is (2, 3), and number 1, counted from 0, is (3)",
    "torch.stack([w, w, x])":
        "the first is (3), and number 2, counted from 0, is (2, 3)",
    "torch.stack([])": "the list of tensors is empty",
    "torch.cat([])": "the list of tensors is empty",
    "torch.cat([x.sum(), x.sum()])":
        "cat joins along a dimension that tensors have, and a single number has none; "
        "stack joins along a new one",
    "F.cross_entropy(x, torch.zeros(3).long())": "there are 2 rows and 3 targets",
    "x.T.view(6)":
        "view moves no number, and transpose, permute, expand and slices change how "
        "they lie in memory",
    "x.repeat(2, 2)[:, :3].view(12)":
        "view moves no number, and transpose, permute, expand and slices change how "
        "they lie in memory",
    "fc.weight = torch.ones(3, 4)": "`weight` is a parameter of the module",
    "emb.weight = x * 2": "`weight` is a parameter of the module",
    "torch.multinomial(-x, 1)":
        "draws are from weights: finite, none below 0, not all 0",
    "torch.multinomial(0 * x, 1)": "not all 0",
    "torch.multinomial((x / 0).softmax(-1), 1)":
        "draws are from weights: finite, none below 0, not all 0",
    "x.topk(4)": "k goes from 0 to the size of the dimension",
    "x.masked_fill(x, 0)": "a mask is of dtype bool",
    "torch.where(x, x, x)": "a mask is of dtype bool",
    "x.expand(2, 4)": "4 places are to be filled at dimension 1, and there are 3",
    "x[:, 0] = w": "2 places are to be filled at dimension 0, and there are 3",
    "conv(x)": "and its input is (2, 3)",
    "x[w > 0]":
        "a mask has the sizes of those dimensions that it picks from: (3) in (2, 3)",
    "x[(x > 0)[:, :2]]":
        "a mask has the sizes of those dimensions that it picks from: (2, 2) in (2, 3)",
    "F.nll_loss(x, i[:, :1])": "a dimension less than the scores",
    "len(x.sum())": "has no dimension to go along",
    "list(x.sum())": "has no dimension to go along",
    "x(3)": "[ ] picks from it",
    "n = 0; 1 / n": "`n` is 0 here",
    "5 % (2 - 2)": "`2 - 2` is 0 here",
    "mask = None; x * mask": "`mask` is None here",
    "fc.bias = None; fc.bias.shape": "`fc.bias` is None here",
    "w.grad * 2": "no backward has reached it since it was last set",
    "w.grad.zero_()":
        "`w.grad` is None here, as before the first backward and after an optimizer's "
        "zero_grad()",
    "y = w * 1; y.grad * 2":
        "backward fills .grad of tensors that require grad and were not computed from "
        "others",
    "losses = []; loses.append(1)": "`loses` is no name here, and `losses` is",
    "torch.maximun(x, x)": "`torch.maximun` is not there, and `maximum` is",
    "F.relu(x).maen()": "`F.relu(x).maen` is not there, and `mean` is",
    "def f(): x += 1; f()":
        "the function assigns `x`, which makes that a name of its own, without a "
        "value here",
    "def f(): np = np; f()":
        "the function assigns `np`, which makes that a name of its own, without a "
        "value here",
    "def f(): y += 1; f()": "`y` has no value here",
    "A = type('A', (torch.autograd.Function,), {'forward': lambda ctx, x: "
    "ctx.save_for_backward(1.5)}); A.apply(w)":
        "one of its arguments is a float: `ctx.name = …` keeps that",
    "self = fc; self.wieghts": "`self.wieghts` is read here, and not set; `weight` is",
    "x.astype(float)": "in PyTorch it is .to(dtype)",
    "torch.array([1])": "in PyTorch it is torch.tensor",
    "torch.random.randn(3)": "in PyTorch it is torch.randn",
    "del np; np.zeros(3)": "NumPy is not imported in this file",
    "x[None, None].transpose(0, 2, 1, 3)": "permute takes a whole order",
    "torch.transpose(x, 0, 1, 2)": "permute takes a whole order",
    "x.shape()": "a shape is a tuple",
    "x.to('meta').cpu()": "has a shape and no numbers",
    "x.sum().to('meta').item()": "has a shape and no numbers",
    "list(type('A', (), {'__iter__': lambda self: None})())":
        "`__iter__` returned None",
    "x.view(2, 6 / 2)":
        "whole numbers are asked for, and `6 / 2` is a float: / always makes one",
    "torch.zeros(2, w.numel() / 3, 4 / 2)": "one of these is a float",
    "range(4 / 2)": "`4 / 2` is a float",
    "i[0][4 / 2]": "`4 / 2` is a float",
    "x.reshape(x.numel() / 2, 2)":
        "whole numbers are asked for, and `x.numel() / 2` is a float: / always makes "
        "one",
    "rows = 6 / 2; x.reshape(rows, 2)":
        "whole numbers are asked for, and `rows` is a float: / always makes one",
    "x.view(6 / 2, 2)":
        "whole numbers are asked for, and `6 / 2` is a float: / always makes one",
    "x.std(1, ddof=0)": "`ddof=0` is `correction=0`",
    "torch.max(x, 1e-8)":
        "torch.max compares two tensors, and one here is a number, as .clamp(min=…) "
        "and .clamp(max=…) take",
    "torch.minimum(x, 1)":
        "torch.max compares two tensors, and one here is a number, as .clamp(min=…) "
        "and .clamp(max=…) take",
    "torch.autograd.grad(w * 2, w)":
        "gradients start from one number, or from many with a weight for each, "
        "grad_outputs",
    "nn.MSELoss(x, x)":
        "nn.MSELoss is a class: `nn.MSELoss()` makes the loss, which takes the tensors",
    "nn.L1Loss(x.mean((1,)), x.T[0])":
        "nn.L1Loss is a class: `nn.L1Loss()` makes the loss, which takes the tensors",
    "nn.Softmax(x)(x)":
        "nn.Softmax is a class: `nn.Softmax(…)` takes settings, and what it makes "
        "takes tensors",
    "nn.Linear(x, 2)":
        "nn.Linear is a class: `nn.Linear(…)` takes settings, and what it makes takes "
        "tensors",
    "import math; math.exp(x)":
        "math.exp takes one number: `.exp()`, a tensor's own, takes each element",
    "torch.logsigmoid(x)": "it is in torch.nn.functional: F.logsigmoid",
    "x.gelu()": "it is in torch.nn.functional: F.gelu",
    "x.logsumexp()": "`dim` has no default",
    "image = type('Image', (), {'size': (2, 3)}); image.size()":
        "`image.size` is a plain tuple, and brackets call a function or method",
    "bytes(byte for byte in 'text')": "`.encode()` bytes",
    "from pathlib import Path; Path('a') / 'b' + '_'":
        "a path takes no `+`, and `/` comes before `+`",
    "x.topk(2)[..., -1:]":
        "topk along a dimension returns two tensors: .values and .indices",
    "best = x.max(1); best[:, 0]": "this is a tuple, not a tensor",
    "index, shape = (1, 2, 3), (4, 5, 6); for n, size in index, shape: pass":
        "the loop goes through `index` and `shape` one after the other, and through "
        "zip(index, shape) in pairs",
    "[n for n, size in (x.mT, w)]":
        "the loop goes through `x.mT` and `w` one after the other, and through "
        "zip(x.mT, w) in pairs",
    "samples = [(1, 2)] * 3; a, b = zip(samples)":
        "zip sees one list, `samples`, and so makes tuples of one item each",
    "x.numpy().sum(dim=1)": "dim= is axis=",
    "x.numpy().max(axis=1, keepdim=True)": "keepdim= is keepdims=",
    "x.numpy().transpose(0, -1, -2)": "swapaxes(-1, -2) swaps the last two",
    "x.numpy().clone()": "this is NumPy's, which has .copy()",
    "del torch; torch.zeros(3)": "this track is written in NumPy",
    "nn.ModuleList([fc])(x)":
        "nn.ModuleList only holds its layers: it calls none of them",
    "nn.LSTMCell(3, 4)(x, (torch.ones(1, 2, 4), torch.ones(1, 2, 4)))":
        "the state of a cell has no dimension of layers, which that of nn.LSTM and "
        "its like has in front",
    "nn.GRUCell(3, 4)(x, torch.ones(1, 2, 4))":
        "the state of a cell has no dimension of layers, which that of nn.LSTM and "
        "its like has in front",
    "torch.randint(9, 2)":
        "randint takes (high, size) or (low, high, size), and the size is a tuple",
    "n = 2; torch.randint(0, 9, n, device='cpu')":
        "randint takes (high, size) or (low, high, size), and the size is a tuple",
    "self = type('A', (), {'scale': 2})(); x * scale":
        "`scale` is no name here: `self.scale` is",
    "del F; F.relu(x)": "`import torch.nn.functional as F` is missing",
    "del np, torch; np.zeros(3)": "`import numpy as np` is missing",
    "net = nn.Sequential(nn.Flatten(), fc, nn.ReLU()); net(x)":
        "`net.1` takes 4 features in the last dimension",
    "t = (x, w, x); t.mean()": "`t` is a tuple of 3, not a tensor or number",
    "t = (x,) * 5; t.mean()": "`t` is a tuple of 5, not a tensor or number",
    "t = (); t.mean()": "`t` is a tuple of 0, not a tensor or number",
    "a, b = x.exp().max()": "max() gives one number, and max(dim=…) values and indices",
    "torch.tensor([1], dtype=np.int64)":
        "`np.int64` is NumPy's dtype, and `torch.int64` is PyTorch's",
    "layers = [fc]; nn.Sequential(layers)":
        "nn.Sequential takes its layers one by one, and `layers` is a list, which "
        "`*layers` hands on one by one",
    "x.masked_fill(x > 0, torch.finfo(i.dtype).min)":
        "finfo tells of a floating-point dtype, and this is none",
    "relu = 'relu'; relu(fc(x.new_ones(4)))":
        "`relu` is a plain str, and brackets call a function or method",
    "import hashlib; hashlib.sha256('text')": "a file opened with \"rb\" gives them",
    "batch = [(x, 1)] * 3; a, b = batch": "zip(*batch) puts the first of each together",
    "q, k, v = x.repeat(1, 3).split(3, dim=-1); q, k, v = torch.ones(2, 12).split(3, "
    "dim=-1)":
        "split(3) makes parts of size 3, as many as there are",
    "a, b, c = x.chunk(2, dim=-1)": "chunk(2) made 2 parts for 3 names",
    "'name'.startswith('a', 'b')":
        "several texts are one tuple: .startswith(('a', 'b'))",
    "x.expand(-1, 2, 3)": "expand got more sizes than there are dimensions",
    "x.expand(2)":
        "expand takes a size for each of the 2 dimensions, −1 to keep it, and got 1",
    "A = type('A', (), {'__len__': lambda: 3}); A.__len__.__qualname__ = 'A.__len__'; "
    "len(A())":
        "`def __len__()` takes nothing, and a method is given its object (`self`) or "
        "its class",
    "path = 'model.pt'; torch.save(path, x)": "`x` is neither a path nor a file",
    "len(type('A', (), {'__len__': lambda self: 5 / 2})())":
        "whole numbers are asked for, and `5 / 2` is a float: / always makes one",
    "i.requires_grad_()": "gradients are taken of floating-point numbers",
    "torch.sqrt(9)": "a plain number, which math.sqrt takes",
    "F.cross_entropy(i[:, 0], x)": "cross_entropy takes the scores first",
    "g = torch.Generator(); torch.randint(9, 2, generator=g)":
        "randint takes (high, size) or (low, high, size), and the size is a tuple",
    "f = lambda a, *, end: a; args, kwargs = (1,), {'end': 2}; f(args, kwargs)":
        "`f(args, kwargs)` hands on two arguments, and `f(*args, **kwargs)` what is "
        "in them",
    "p = x[:, :1].clone(); p.copy_(w[:2])":
        "keeps its shape, (2, 1), and this would make it (2, 2)",
    "nn.EmbeddingBag(5, 2)(i + 5)": "an id is below 0, or not below",
    "state = {'a': {'b': x}}; state['a'].cpu()":
        "`state['a']` is a dict, which has no `cpu`: [ ] picks",
    "end = 'a'; x[:, :end]": "whole numbers, and `end` is 'a'",
    "q = k = np.ones((2, 3, 5, 4)); q @ k.T":
        "`k.T` turns all dimensions around: swapaxes",
    "fill = None; x.masked_fill(x > 0, fill)": "`fill` is None here",
}  # fmt: skip
# Code with the same errors for other reasons, and below each the whole sentence that is
# still true of it, or nothing.
OTHER = re.findall(
    r"^(\S.*)\n    (.*)$",
    Path(__file__).with_name("other_reasons.txt").read_text(),
    re.MULTILINE,
)
# Beside each, a word that would be false: the operand cannot be told, or the error is
# about something else.
SILENT = {
    "F.relu(both[0](x))": "takes",  # which layer this is would have to be evaluated
    "(x == x).mean() + x.mean()": "`x",  # either mean may have raised
    "a, b = w, v; a -= 1; b -= 1": "`b`",
    # autograd's name is another by then
    "y = w * 2; z = y * y; y.zero_(); z.sum().backward()": "the result of",
    "fc(x) + two(x)": "takes 2 features",
    "fc(torch.ones(3, 4) @ x)": "`fc`",  # the product in front of it raised
    "emb(emb(i).long() + 9) + emb(i)": "has 5 rows, so ids are 0 to 5",
    "[][0]": "dimension",
    "{}['weight']": "weight",
    "x.nothing": "values",
    "x.view(2, 3).T.view(6)": "places",
    "fc.load_state_dict({'weight': x, 'bias': w})": "lacks",
    "int('1.5')": "dtype",
    "far = x.to('meta'); far.item()": "two devices",
    "torch.zeros(2, device='nowhere')": "two devices",
    "t, u = (x,), (w, w); t > u[0]": "`t`",  # either may be the tuple that is meant
    "[][0] + [x][0]": "has 1 item",
    "(1,)[3]": "item",
    "x - x.sum(1, keepdim=True).repeat(1, 2)": "keepdim",
    "x - torch.ones(2) * x.mean()": "keepdim",
    "1 / 0 + 2 / 1": "is 0 here",
    "n = 3; torch.zeros(1 // n)[0] / n + 1 // 0": "`n`",
    "7 // 0": "is 0 here",
    "range(None)": "__len__",
    "len(3)": "grid",
    "[1][3]": "address",
    "zzqq": "is no name here",
    "x.zzqq": "is not there",
    "None * x": "grad",
    "a, b = None, None; a + b": "is None",
    "w.nothing.grad": "grad",
    "'a'.mean()": "plain number",
    "both[0].nothing": "which has no",
    "''.join(['a']).mean()": "which has no",
    "{}.mean()": "a list has none",
    "emb.load_state_dict({})": "names",
    "x.reshape(2, 3, w)": "float",
    "if nn.MSELoss(reduction='none')(x, x) > 0: pass": "is a class",
    "nn.LSTM(3, 4)(x, x)": "is a class",
    "del torch, F; type('Tensor', (), {})().gelu": "functional",
    "torch.full(3, 1.5)": "(1.5,)",
    "a, b = zip(*[(1, 2)], strict=True), 3; a, c, d = a": "zip sees",
    "for a, b in (1, 2, 3), (4, 5, 6): pass": "zip(",
    "items = [1]; items[i[0]]": "slice",
    "a, b = 'abc'": "zip",
    "batch = [(1, 2, 3)]; a, b = batch * 3": "zip",
    "a, b = ['a b c'.split('b', 1), 3, 4]": "chunk",
    "door = None; door.open()": "npz",
    "f = lambda: 1; f(2)": "self",
    "fc(torch.ones(3, 3) @ torch.ones(4, 5))": "`fc`",
    "a, b, c = [*x.chunk(2)]": "chunk",
    "a, b = x.max()": "reduced or indexed",
    "torch.add(9, x, x)": "math",
    "end = 2; x[:end, 'a']": "ends of a slice",
    "np.ones((2, 3)) @ np.ones((2, 3)).T.T": "turns",
    "a, b = None, None; x.masked_fill(a, b)": "None here",
}


def raised(lines: str) -> tuple[Exception, ast.AST, dict]:
    """The error of some statements, the one that raises it, and the scope in which they
    were run.
    """
    scope = {
        "np": np, "torch": torch, "F": F, "nn": nn, "x": torch.ones(2, 3), "i":
            torch.tensor([[0, 1, 2]]).repeat(2, 1),
        "w": torch.ones(3, requires_grad=True), "v": torch.ones(3, requires_grad=True),
        "fc": nn.Linear(4, 3),
        "two": nn.Linear(2, 3), "both": [nn.Linear(4, 3)], "emb": nn.Embedding(5, 2),
        "conv": nn.Conv2d(3, 4, 3),
    }  # fmt: skip
    for line in lines.split("; "):
        try:
            exec(line, scope)
        except Exception as error:
            return error, reading._parsed(line), scope
    raise AssertionError("nothing is raised")


def said(lines: str) -> str:
    """What the error of some statements is said to mean."""
    return meanings.meaning(*raised(lines))


# torch warns of what is wrong here, too
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("lines", "words"), SPEAKS.items(), ids=SPEAKS)
def test_the_error_is_explained(lines, words):
    assert words in said(lines)


def test_a_typo_is_told_once():
    """By Python itself, from 3.12 on, where an object has few names."""
    o = torch.optim.SGD([torch.ones(1)])
    with pytest.raises(AttributeError) as raised:
        o.zero_gard()
    told = [*traceback.format_exception_only(raised.value)]
    told.append(
        meanings.meaning(raised.value, reading._parsed("o.zero_gard()"), {"o": o})
    )
    assert "".join(told).count("zero_grad") == 1


@pytest.mark.parametrize(("lines", "words"), SILENT.items(), ids=SILENT)
def test_nothing_false_is_said(lines, words):
    assert words not in said(lines)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("lines", "words"), OTHER, ids=[lines for lines, _ in OTHER])
def test_the_sentence_is_true_of_another_reason(lines, words):
    assert said(lines) == words.removesuffix("(nothing)")


@pytest.mark.filterwarnings("ignore")
def test_each_sentence_has_two_other_reasons():
    errors = [
        (str(error), f"{error}\0{ast.unparse(node)}")
        for error, node, _ in (raised(lines) for lines, _ in OTHER)
    ]
    for pattern in [
        *meanings.SENTENCES,
        *(pattern for pattern, _ in meanings.MEANINGS),
    ]:
        at = r"\0" in pattern
        assert sum(bool(re.search(pattern, one[at])) for one in errors) >= 2, pattern
