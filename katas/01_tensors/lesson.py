"""Kata 01 in code: the parts of a tensor, views and copies, the cost of each dtype,
and devices.
"""

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, save_figure, stretch

kata = code(__file__)

# 1. Making tensors. torch.tensor copies the numbers that it gets and picks the dtype
#    from them: whole numbers become int64 (also called long), numbers with a decimal
#    point float32. zeros, ones and randn give float32. The "like" functions take shape,
#    dtype and device from another tensor. torch.Tensor, the class, takes a 7 for a
#    size: its numbers are whatever the memory held.
print("1. Making tensors")
whole, point = torch.tensor([2, 0, 1]), torch.tensor([2.0, 0.0, 1.0])
print("  torch.tensor([2, 0, 1])        ", whole.dtype)
print("  torch.tensor([2.0, 0.0, 1.0])  ", point.dtype)
print("  torch.tensor([True, False])    ", torch.tensor([True, False]).dtype)
print("  torch.zeros(2, 3)              ", torch.zeros(2, 3).dtype)
narrow = torch.ones(2, 3, dtype=torch.float16)
print(
    "  torch.Tensor(7)                ",
    torch.Tensor(7).dtype,
    "of shape",
    tuple(torch.Tensor(7).shape),
)
print(
    "  of a float16 (2, 3): zeros_like",
    torch.zeros_like(narrow).dtype,
    tuple(torch.zeros_like(narrow).shape),
)
print(
    "  of a float16 (2, 3): randn_like",
    torch.randn_like(narrow).dtype,
    tuple(torch.randn_like(narrow).shape),
)

# 2. Random numbers come from a generator. torch.manual_seed sets the global one, which
#    every other part of a program draws from as well; a generator handed in keeps its
#    draws apart.
print("\n2. Random numbers")
torch.manual_seed(0)
first = torch.rand(1).item()
for handed_in in (None, torch.Generator().manual_seed(5)):
    torch.manual_seed(0)
    kata.random_patterns(2, 3, generator=handed_in)
    who = "the global generator" if handed_in is None else "a generator handed in"
    print(
        f"  after a draw from {who:<21}",
        "the next global number is still the first:",
        torch.rand(1).item() == first,
    )

# 3. A position is a whole number: int64 and int32 pick rows, a float is refused. Some
#    functions take int64 only, which is why indices are usually int64.
print("\n3. Indices")
table = kata.counting_patterns(3, 4)["matrix"]
print("  matrix:", table.tolist())
print("  matrix[tensor([2, 0, 1])]:", table[whole].tolist())
print("  the same from int32:      ", table[whole.int()].tolist())
try:
    table[point]
except IndexError as error:
    print("  matrix[tensor([2., 0., 1.])]:", error)

# 4. Asking a tensor about itself. size() and ndimension() are the same as shape and
#    ndim; item() takes the one number out of a tensor that holds one.
print("\n4. Asking a tensor")
cube, scalar = kata.counting_patterns(3, 4)["cube"], torch.tensor(7.0)
print(
    "  cube.size():",
    cube.size(),
    " cube.ndimension():",
    cube.ndimension(),
    " cube.dtype:",
    cube.dtype,
)
print("  scalar:", scalar, " scalar.item():", scalar.item())

# 5. The same questions, put to four tensors. The last is a view: it shows 12 of the 24
#    numbers of the cube, every other one, and its storage is that of the cube.
print("\n5. describe")
reports = {
    "scalar": kata.describe(torch.tensor(7.0)),
    "vector": kata.describe(torch.tensor([2, 4, 6])),
    "cube (2, 3, 4)": kata.describe(cube),
    "cube[:, :, ::2]": kata.describe(cube[:, :, ::2]),
}
print(f"  {'':<15}", *(f"{name:>15}" for name in reports))
for key in reports["scalar"]:
    print(f"  {key:<15}", *(f"{str(report[key]):>15}" for report in reports.values()))

# 6. A view is no copy. Writing to it writes to the cube, since there is only one block
#    of memory.
print("\n6. Writing to a view")
view = cube[:, :, ::2]
print("  cube[0, 0] before:", cube[0, 0].tolist())
view[0, 0, 1] = -1
print("  cube[0, 0] after view[0, 0, 1] = -1:", cube[0, 0].tolist())

# 7. NumPy. torch.from_numpy looks into the array's memory, torch.tensor copies it.
#    NumPy's default is float64, and both keep it.
print("\n7. An array and two tensors")
array = np.array([1.0, 2.0, 3.0])
shared, copied = torch.from_numpy(array), torch.tensor(array)
array[0] = -1
print(
    "  after array[0] = -1:  from_numpy:",
    shared.tolist(),
    " torch.tensor:",
    copied.tolist(),
    " both",
    shared.dtype,
)
x = torch.ones(3)
x.detach().numpy()[0] = 9
print("  x after x.detach().numpy()[0] = 9:", x.tolist())

# 8. pandas. A frame has a dtype for each column, a tensor has one for all. The tensor
#    has no names and no row labels: they are handed over again on the way back.
print("\n8. A frame and back")
people = pd.DataFrame(
    {"age": [31, 27], "weight": [61.5, np.nan], "member": [True, False]},
    index=["Ada", "Bo"],
)
print(people.to_string())
age = kata.column_to_tensor(people, "age")
print("  column_to_tensor:", age)
doubled = kata.tensor_to_dataframe(
    torch.stack([age, 2 * age], dim=1), ["age", "twice"], index=people.index
)
print(doubled.to_string())
answer = stretch(kata.dataframe_to_tensor, people)
if answer is not None:
    print("  dataframe_to_tensor:", *answer)
for dtype in (torch.int64, torch.float64):
    print(
        f"  2**53 + 1 read as {str(dtype):<14}",
        int(torch.tensor([2**53 + 1], dtype=dtype).item()),
    )
account = pd.DataFrame({"id": [2**53 + 1], "balance": [0.5]})
print("  beside a float column, to_numpy()", int(account.to_numpy()[0, 0]))

# 9. The cost of a dtype: bytes = elements × bytes of one element. The sizes below are
#    computed. Nothing is allocated.
print("\n9. A (1000, 1000) matrix")
dtypes = [
    torch.bool,
    torch.uint8,
    torch.float16,
    torch.bfloat16,
    torch.int32,
    torch.float32,
    torch.int64,
    torch.float64,
    torch.complex64,
    torch.complex128,
]
sizes = kata.memory_by_dtype((1000, 1000), dtypes)
for dtype, size in sizes.items():
    print(f"  {str(dtype).removeprefix('torch.'):<11} {size // 10**6:>3} MB")
for dtype in (torch.float64, torch.float32, torch.bfloat16):
    print(
        f"  1/3 in {str(dtype).removeprefix('torch.'):<9}",
        torch.tensor(1 / 3, dtype=dtype).item(),
    )
huge = kata.memory_by_dtype((1_000_000, 1_000_000), [torch.float32])[torch.float32]
print(f"  (1_000_000, 1_000_000) in float32 would take {huge / 10**12:g} TB")

# 10. Devices. .to(device) moves, .cpu() brings back. Tensors on different devices do
#    not mix; the "meta" device, which keeps shapes and dtypes but no numbers, shows it
#    on any machine.
print("\n10. Devices")
print("  torch.cuda.is_available():", torch.cuda.is_available())
print("  torch.cuda.device_count():", torch.cuda.device_count())
print("  torch.backends.mps.is_available():", torch.backends.mps.is_available())
device = (
    "cuda"
    if torch.cuda.is_available()
    else "mps"
    if torch.backends.mps.is_available()
    else "cpu"
)
there = torch.ones(2, 3).to(device)
print(f"  on {there.device}, and after .cpu() on {there.cpu().device}")
try:
    torch.ones(2, 3) + torch.ones(2, 3, device="meta")
except RuntimeError as error:
    print("  cpu + meta:", error)

# 11. The figure: one bar for each number of bytes an element can take.
by_size: dict[int, list[str]] = {}
for dtype, size in sizes.items():
    by_size.setdefault(size, []).append(str(dtype).removeprefix("torch."))
figure = Figure(figsize=(6.6, 3.2))
axes = figure.subplots()
rows = range(len(by_size))
megabytes = [size / 10**6 for size in by_size]
bars = axes.barh(rows, megabytes, color=COLOURS[0], height=0.65)
axes.bar_label(bars, [f"{value:g} MB" for value in megabytes], padding=4)
axes.text(
    3.0, 0, "a bool needs 1 bit and takes a whole byte", va="center", color=COLOURS[1]
)
axes.set_yticks(rows, [", ".join(names) for names in by_size.values()])
axes.invert_yaxis()
axes.set_xlim(0, 18.5)
axes.set_xticks([0, 1, 2, 4, 8, 16])
axes.set_xlabel("megabytes of a (1000, 1000) matrix = bytes of one element")
axes.set_title(
    "Each step doubles the memory for the same number of elements", loc="left"
)
save_figure(figure, __file__)
