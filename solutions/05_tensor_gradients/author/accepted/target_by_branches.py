# The three ways written out one by one, prediction first, and the mean squared error by
# torch's own function.


def frozen_target_loss(value_fn, state, next_state, reward, gamma=0.9, how="detach"):
    prediction = value_fn(state)
    if how == "detach":
        target = reward + value_fn(next_state).detach() * gamma
    elif how == "no_grad":
        with torch.no_grad():
            target = torch.add(reward, value_fn(next_state), alpha=gamma)
    elif how == "inference_mode":
        with torch.inference_mode():
            value = value_fn(next_state)
        target = reward + gamma * value.clone()
    else:
        raise ValueError(how)
    return torch.nn.functional.mse_loss(prediction, target.detach())
