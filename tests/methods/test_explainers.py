"""XAI methods as users write them: what is read from the file, and what the conformance suite says of them."""

import numpy as np
import pytest

from harness.methods.client import MethodError
from harness.methods.discovery import find_method
from harness.methods.explainer_conformance import check_explainer
from harness.spec.errors import UsageError

from .support import InProcess, write

GRADIENT = """
@explainer(version="1.0")
def gradient_times_input(model, inputs, targets):
    \"\"\"Gradient times input.\"\"\"
    inputs = inputs.requires_grad_(True)
    model(inputs).gather(1, targets[:, None]).sum().backward()
    return inputs.grad * inputs
"""
IMAGES = ', modalities=("image",), architectures=("cnn",)'


def checks(tmp_path, source):
    return list(check_explainer(InProcess(write(tmp_path, source), tmp_path)))


def problem(tmp_path, body, arguments="", parameters="model, inputs, targets"):
    """The sentence of the one failed check of a function with this body, tried on images and a CNN."""
    lines = "\n".join(f"    {line}" for line in body.split("; "))
    source = f'import torch\nfrom harness import explainer\n@explainer(version="1"{IMAGES}{arguments})\ndef f({parameters}):\n{lines}\n'
    found = checks(tmp_path, source)
    assert [check.passed for check in found] == [True] * (len(found) - 1) + [False], "the failed check is the last"
    return found[-1].problem


# declarations -------------------------------------------------------------------------------------


def test_a_function_is_read_from_its_file(tmp_path):
    spec = find_method(str(write(tmp_path, GRADIENT))).spec
    assert (spec.task, spec.name, spec.version, spec.summary) == (
        "attribution",
        "gradient-times-input",
        "1.0",
        "Gradient times input.",
    )
    assert spec.modalities == ("image", "volume", "point-cloud")
    assert spec.architectures == ("cnn", "transformer")
    assert not spec.stochastic


def test_a_factory_may_be_a_lambda(tmp_path):
    source = 'saliency = explainer(version="2", stochastic=True)(lambda model: None)\n'
    spec = find_method(str(write(tmp_path, source))).spec
    assert (spec.name, spec.symbol, spec.version, spec.stochastic) == ("saliency", "saliency", "2", True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            'version="1", modalities=("images",)',
            "modalities.0: it must be 'image', 'volume' or 'point-cloud', not 'images'",
        ),
        ('version="1", modalities=()', "modalities: it must not be empty"),
        (
            'version="1", modalities="image"',
            "modalities: it must be a list, not 'image'; write modalities=(\"image\",)",
        ),
        ('version="1", head="devries"', "no argument of the decorator is called 'head'"),
        ('version="1", reference=True', "`oracle` and `reference` are for the harness's own rows"),
        ("", 'the decorator needs a version; write @explainer(version="1.0")'),
    ],
)
def test_a_wrong_declaration_gets_one_sentence(tmp_path, arguments, words):
    with pytest.raises(UsageError) as raised:
        find_method(str(write(tmp_path, f"@explainer({arguments})\ndef f(model, inputs, targets): ...\n")))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_class_needs_explain(tmp_path):
    with pytest.raises(UsageError, match=r"has no method `explain\(self, model, inputs, targets, context\)`"):
        find_method(str(write(tmp_path, '@explainer(version="1")\nclass F:\n    def score(self): ...\n')))


# conformance --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        GRADIENT,
        """
        import captum.attr
        from harness import explainer
        saliency = explainer(version="1")(lambda model: captum.attr.Saliency(model))
        """,
        """
        import torch
        from harness import explainer
        @explainer(version="1", modalities=("image", "volume"), architectures=("transformer",))
        class Attention:
            def __init__(self):
                self.calls = 0
            def explain(self, model, inputs, targets, context):
                self.calls += 1
                seen = []
                handle = context.blocks[-1].attention.softmax.register_forward_hook(lambda m, i, o: seen.append(o))
                model(inputs)
                handle.remove()
                tokens = seen[0].mean(dim=1)[:, 0, 1:].unflatten(1, context.grid)[:, None]
                return torch.nn.functional.interpolate(tokens.detach(), inputs.shape[2:])
        """,
        """
        import torch
        from harness import explainer
        @explainer(version="1", stochastic=True)
        def noise(model, inputs, targets, context):
            assert context.background.shape[1:] == inputs.shape[1:]
            return torch.randn(inputs.shape, generator=context.generator)
        """,
    ],
    ids=["function", "captum", "class", "stochastic"],
)
def test_good_methods_pass(tmp_path, source):
    found = checks(tmp_path, source)
    assert [check.problem for check in found] == [""] * len(found)
    assert len(found) >= 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return torch.zeros_like(inputs)", "all 6 maps are zero everywhere"),
        ("return torch.ones_like(inputs)", "all 6 maps are constant"),
        ("return -inputs.abs() - 1", "none of 6 maps has a positive value"),
        ("m = inputs.clone(); m[2, 0, 3] = float('nan'); return m", "1 of 6 maps hold NaN or infinite values"),
        ("return inputs.double() * 1e300", "6 of 6 maps hold NaN or infinite values"),
        ("return inputs[:, :, 1:]", "it returned shape (6, 1, 27, 28), expected (6, 1, 28, 28)"),
        ("return inputs.long()", "it returned dtype int64; maps are floating-point numbers"),
        ("return inputs.to('meta')", "on the device 'meta', which holds no numbers"),
        ("return None", "it returned NoneType, not a tensor or array of numbers"),
        ("next(model.parameters()).data.add_(1); return inputs", "it changed the model's weights"),
        ("model.train(); return inputs", "it left the model in training mode"),
        ("model.register_forward_hook(lambda *a: None); return inputs", "it left hooks in the model"),
        ("model.extra = torch.nn.Linear(1, 1); return inputs", "it changed the structure of the model"),
        ("return torch.rand_like(inputs)", "declare stochastic=True"),
        ("return inputs + (inputs - inputs.mean(0)).abs()", "explain each sample by itself"),
        ("raise ValueError('no idea')", "ValueError: no idea"),
    ],
)
def test_each_way_to_break_the_contract_has_its_sentence(tmp_path, body, words):
    assert words in problem(tmp_path, body)


def test_a_part_that_some_networks_lack_is_no_fault(tmp_path):
    source = """
    from harness import explainer
    @explainer(version="1", modalities=("image",))
    def attention_or_gradient(model, inputs, targets, context):
        return context.blocks[0].norm1.weight.mean() * inputs
    """
    found = checks(tmp_path, source)
    assert all(check.passed for check in found)
    assert sum("does not apply to images, cnn" in check.name for check in found) == 1


def test_defaults_stay_the_methods_own(tmp_path):
    body = "assert steps == 20\n    return inputs"
    arguments = "model, inputs, targets, steps=20"
    source = f'from harness import explainer\n@explainer(version="1"{IMAGES})\ndef f({arguments}):\n    {body}\n'
    assert all(check.passed for check in checks(tmp_path, source))


@pytest.mark.parametrize("parameters", ["", "model, inputs", "model, inputs, targets, background, more", "*, model"])
def test_other_arguments_get_one_sentence(tmp_path, parameters):
    assert "it must take (model, inputs, targets)" in problem(tmp_path, "return inputs", "", parameters)


def test_what_a_method_switches_in_torch_ends_with_the_call(tmp_path):
    body = "torch.set_grad_enabled(False); torch.set_default_dtype(torch.float64); return inputs"
    lines = body.replace("; ", "\n    ")
    source = f'import torch\nfrom harness import explainer\n@explainer(version="1")\ndef f(model, inputs, targets):\n    assert torch.is_grad_enabled()\n    assert torch.get_default_dtype() == torch.float32\n    {lines}\n'
    assert all(check.passed for check in checks(tmp_path, source))
    import torch

    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32


def test_maps_of_too_many_channels(tmp_path):
    words = "it returned shape (6, 600, 28, 28), expected (6, 1, 28, 28)"
    assert words in problem(tmp_path, "return inputs.repeat(1, 600, 1, 1)")


@pytest.mark.parametrize(
    "body",
    [
        "model(inputs).gather(1, targets[:, None]).sum(); return inputs.grad * inputs",
        "gradient = inputs.grad; return gradient.abs()",
        "model(inputs).detach().sum().backward(); return inputs",
    ],
)
def test_gradients_that_nobody_asked_for(tmp_path, body):
    assert "call inputs.requires_grad_(True) first" in problem(tmp_path, body)


def test_another_none_is_no_matter_of_gradients(tmp_path):
    said = problem(tmp_path, "nothing = None; return nothing * inputs")
    assert "NoneType" in said
    assert "requires_grad" not in said


def test_a_factory_of_something_else(tmp_path):
    assert "its factory returned int, which has no method `attribute" in problem(tmp_path, "return 3", "", "model")


def test_what_a_model_lacks_is_not_applicable(tmp_path):
    client = InProcess(
        write(tmp_path, f'@explainer(version="1"{IMAGES})\ndef f(model, inputs, targets, context): context.blocks\n'),
        tmp_path,
    )
    found = list(check_explainer(client))
    assert [check.passed for check in found] == [True, False]
    assert found[0].name == "does not apply to images, cnn (this model does not offer transformer blocks)"
    assert found[-1].problem == "none of them offers what it asks for"
    given = {"inputs": np.zeros((1, 1, 28, 28), dtype=np.float32), "targets": np.zeros(1, dtype=np.int64)}
    with pytest.raises(MethodError) as raised:
        client.call("explain", given, seed=0)
    assert raised.value.status == "not-applicable"


def test_each_call_sees_the_original_model(tmp_path):
    body = "torch.nn.init.zeros_(model.classifier.weight)"
    assert "it changed the model's weights" in problem(tmp_path, f"{body}; return inputs")
    source = f"""
    import torch
    from harness import explainer
    @explainer(version="1"{IMAGES})
    def f(model, inputs, targets):
        assert model.classifier.weight.abs().sum() > 0, "an earlier call reached this one"
        kept = model.classifier.weight.detach().clone()
        torch.nn.init.zeros_(model.classifier.weight)
        model.classifier.weight.data.copy_(kept)
        return inputs
    """
    assert all(check.passed for check in checks(tmp_path, source))
