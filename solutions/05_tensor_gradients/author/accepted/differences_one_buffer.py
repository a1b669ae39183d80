# One buffer for all calls: each element is moved, and put back afterwards.
import itertools


def finite_difference_gradient(f, x, eps=1e-6):
    buffer = x.detach().to(
        torch.float64, copy=True, memory_format=torch.contiguous_format
    )
    result = torch.empty_like(buffer)
    for index in itertools.product(*map(range, x.shape)):
        kept = buffer[index].item()
        values = []
        for moved in (kept + eps, kept - eps):
            buffer[index] = moved
            value = f(buffer).detach()
            if value.numel() != 1:
                raise ValueError("f has to return one element")
            values.append(value.reshape(()).double())
        buffer[index] = kept
        result[index] = (values[0] - values[1]) / (2.0 * eps)
    return result
