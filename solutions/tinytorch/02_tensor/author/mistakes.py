"""Wrong solutions of tinytorch/02 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

TO_FLOAT32 = """        if (
            dtype is None
            and array.dtype == np.float64
            and not isinstance(data, (np.ndarray, np.generic))
        ):
            array = array.astype(np.float32)
"""
SUM = 'record(Tensor(self.data + other.data), "add", (self, other))'
MEAN = """record(
            Tensor(self.data.mean(axis=dims, keepdims=keepdim)),"""
NUMBER = "Tensor(np.asarray(other, dtype=np.result_type(self.dtype, other)))"
REVERSED_DIFFERENCE = (
    "        return other if other is NotImplemented else other - self"
)
DIMS_CHECKED = """        if not all(-self.ndim <= d < self.ndim for d in dims):
            raise IndexError(
                f"dim {dim} is out of range for a tensor of {self.ndim} dimensions"
            )
"""

MISTAKES = [
    # Tensor
    Mistake(
        "everything becomes float32",
        was="        array = np.asarray(data, dtype=dtype)\n" + TO_FLOAT32,
        now="        array = np.array(data, dtype=dtype or np.float32)\n",
        caught_by="TestTensorInit::test_python_numbers_get_the_dtypes_of_the_framework",
        says="expected int64",
    ),
    Mistake(
        "NumPy's float64 for Python floats",
        was=TO_FLOAT32,
        now="",
        caught_by="TestTensorInit::test_python_numbers_get_the_dtypes_of_the_framework",
        says="expected float32",
    ),
    Mistake(
        "arrays copied",
        was="        array = np.asarray(data, dtype=dtype)",
        now="        array = np.array(data, dtype=dtype)",
        caught_by="TestTensorInit::test_an_array_keeps_its_memory",
        says="looks like a copy of the array",
    ),
    Mistake(
        "a gradient for integers",
        was='if requires_grad and array.dtype.kind != "f":',
        now="if False:",
        caught_by="TestTensorInit::test_only_floating_tensors_can_require_a_gradient",
        says="raised nothing",
        edge=True,
    ),
    # nbytes, item, detach
    Mistake(
        "four bytes per element, always",
        was="return self.size * self.dtype.itemsize",
        now="return self.size * 4",
        caught_by="test_elements_times_bytes_of_one",
        says="looks like four bytes per element, whatever the dtype",
    ),
    Mistake(
        "item returns a NumPy scalar",
        was="return self.data.item()",
        now="return self.data.reshape(-1)[0]",
        caught_by="test_one_element_becomes_a_python_number",
        says="item() is a float32, expected float",
    ),
    Mistake(
        "detach switches the tensor itself off",
        was="        return Tensor(self.data)\n\n    def backward",
        now=(
            "        self.requires_grad = False\n        return self\n\n"
            "    def backward"
        ),
        caught_by="test_has_no_gradient_and_no_node",
        says="detach() returned the tensor itself",
    ),
    # arithmetic
    Mistake(
        "numbers wrapped in the tensor's dtype",
        was=NUMBER,
        now="Tensor(np.asarray(other, dtype=self.dtype))",
        caught_by="test_an_integer_tensor_plus_a_fraction_is_floating",
        says="looks like 2.5 truncated to an integer",
    ),
    Mistake(
        "numbers wrapped without a dtype",
        was=NUMBER,
        now="Tensor(other)",
        caught_by="test_a_number_keeps_the_dtype_of_a_floating_tensor",
        says="of t + 2 dtype 'float64' expected float32",
    ),
    Mistake(
        "added in place",
        was=f"        return {SUM}",
        now="        self.data += other.data\n        return self",
        caught_by="test_the_operands_stay_as_they_are",
        says="the result is the left operand itself",
    ),
    Mistake(
        "arrays announced",
        was=SUM,
        now='record(Tensor(self.data + other.data), "add", (self.data, other.data))',
        caught_by="TestTensorAdd::test_announces_itself",
        says="expected a Tensor",
    ),
    Mistake(
        "nothing announced",
        was='return record(Tensor(self.data * other.data), "mul", (self, other))',
        now="return Tensor(self.data * other.data)",
        caught_by="TestTensorMul::test_announces_itself",
        says="looks like not announced: `record` is not called",
    ),
    Mistake(
        "__rsub__ = __sub__",
        was=REVERSED_DIFFERENCE,
        now="        return self - other",
        caught_by="test_a_number_minus_a_tensor",
        says="looks like t - 2: the operands are swapped",
    ),
    Mistake(
        "None taken for NaN",
        was="        if isinstance(other, (bool, int, float)):\n",
        now="        if other is not NotImplemented:\n",
        caught_by="TestTensorAdd::test_other_operands_are_refused[None]",
        says="raised nothing",
        edge=True,
    ),
    Mistake(
        "dot for matmul",
        was="Tensor(self.data @ other.data)",
        now="Tensor(np.dot(self.data, other.data))",
        caught_by="test_leading_dims_are_a_batch",
        says="expected (2, 5, 3, 6)",
    ),
    # views
    Mistake(
        "slices copied",
        was="record(Tensor(self.data[key]),",
        now="record(Tensor(self.data[key].copy()),",
        caught_by="test_basic_keys_give_a_view",
        says="is a copy",
    ),
    Mistake(
        "a NumPy scalar for one element",
        was='        return record(Tensor(self.data[key]), "index"',
        now="        if np.isscalar(self.data[key]):\n"
        "            return self.data[key]\n"
        '        return record(Tensor(self.data[key]), "index"',
        caught_by="test_one_element_is_a_tensor",
        says="expected a Tensor",
    ),
    Mistake(
        "a copy in place of a view",
        was="Tensor(self.data.reshape(shape))",
        now="Tensor(np.resize(self.data, shape))",
        caught_by="test_is_a_view_where_it_can_be_one",
        says="the reshaped tensor is a copy",
    ),
    Mistake(
        "reshaped in place",
        was='return record(Tensor(self.data.reshape(shape)), "reshape", (self,))',
        now="self.data = self.data.reshape(shape)\n        return self",
        caught_by="TestTensorReshape::test_announces_itself",
        says="looks like t itself is changed and returned",
    ),
    Mistake(
        ".T for transpose",
        was="self.data.swapaxes(dim0, dim1)",
        now="self.data.T",
        caught_by="test_two_dimensions_are_swapped",
        says="looks like all dimensions reversed",
    ),
    Mistake(
        "transposed in place",
        was="""return record(
            Tensor(self.data.swapaxes(dim0, dim1)),
            "transpose",
            (self,),
            dim0=dim0,
            dim1=dim1,
        )""",
        now="self.data = self.data.swapaxes(dim0, dim1)\n        return self",
        caught_by="TestTensorTranspose::test_announces_itself_with_its_dims",
        says="looks like t itself is changed and returned",
    ),
    # reductions
    Mistake(
        "the mean of everything divides",
        was=MEAN,
        now="record(Tensor(self.data.sum(axis=dims, keepdims=keepdim) / self.size),",
        caught_by="test_divides_by_the_number_of_averaged_elements",
        says="looks like divided by the number of all elements",
    ),
    Mistake(
        "the mean in the tensor's own dtype",
        was=MEAN,
        now=MEAN.replace("keepdims=keepdim", "keepdims=keepdim, dtype=self.dtype"),
        caught_by="test_integers_have_a_floating_mean",
        says="looks like cut off to integers",
    ),
    Mistake(
        "dims saved as given",
        was=""""sum",
            (self,),
            dim=dims,""",
        now='"sum", (self,), dim=dim,',
        caught_by="test_announces_itself_with_plain_dims",
        says="expected a tuple of non-negative ints",
    ),
    Mistake(
        "any dim taken modulo ndim",
        was=DIMS_CHECKED,
        now="",
        caught_by="TestTensorSum::test_a_dim_out_of_range_is_refused",
        says="raised nothing",
        edge=True,
    ),
]

EQUIVALENT: list[Equivalent] = []
