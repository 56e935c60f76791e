"""The network: sizes, contracts with torchvision, what alpha and mix mean."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from instantstyle.model.adain import AdaIN, GatedAdaIN
from instantstyle.model.content_encoder import ContentEncoder
from instantstyle.model.decoder import DecoderDepths, DecoderWidths
from instantstyle.model.network import CONFIGS, InstantStyle, NetworkConfig, mix
from instantstyle.model.style_encoder import GridAttention


@pytest.fixture(scope="module")
def network() -> InstantStyle:
    torch.manual_seed(0)
    return InstantStyle().eval()


@pytest.mark.parametrize("name", CONFIGS)
def test_networks_have_12_million_parameters_within_2_percent_and_stay_under_20_gmacs_at_512(name: str) -> None:
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        network = InstantStyle(CONFIGS[name]).eval()
        network.stylizer(torch.empty(1, 3, 512, 512), torch.empty(1, 256), torch.empty(1, 1))
    count = sum(parameter.numel() for parameter in network.parameters())
    assert abs(count - 12_151_068) <= 0.02 * 12_151_068
    assert 15e9 < counter.get_total_flops() / 2 <= 20e9


@pytest.mark.parametrize("name", CONFIGS)
def test_no_convolution_wider_than_32_channels_at_full_resolution(name: str) -> None:
    network = InstantStyle(CONFIGS[name]).eval()
    full: list[int] = []

    def note(_: nn.Module, __: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
        if out.shape[-1] >= 64:
            full.append(out.shape[1])

    for module in network.stylizer.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    with torch.no_grad():
        network.stylizer(torch.zeros(1, 3, 64, 64), torch.zeros(1, 256), torch.ones(1, 1))
    assert max(full, default=0) <= 32


def test_content_encoder_takes_torchvision_names_and_shapes() -> None:
    """Keys and shapes of torchvision's resnet50 up to layer2, from the architecture's table in He et al. 2016."""
    expected = {"conv1.weight": (64, 3, 7, 7), "bn1.weight": (64,)}
    for layer, (blocks, width, entering) in {"layer1": (3, 64, 64), "layer2": (4, 128, 256)}.items():
        for block in range(blocks):
            inside = entering if block == 0 else width * 4
            prefix = f"{layer}.{block}"
            expected |= {f"{prefix}.conv1.weight": (width, inside, 1, 1), f"{prefix}.conv2.weight": (width, width, 3, 3)}
            expected |= {f"{prefix}.conv3.weight": (width * 4, width, 1, 1), f"{prefix}.bn3.running_var": (width * 4,)}
        expected[f"{layer}.0.downsample.0.weight"] = (width * 4, entering, 1, 1)
        expected[f"{layer}.0.downsample.1.bias"] = (width * 4,)
    actual = {name: tuple(value.shape) for name, value in ContentEncoder(64, (64, 128)).state_dict().items()}
    assert expected.items() <= actual.items()


def test_adain_at_full_strength_gives_the_style_statistics() -> None:
    """Against NumPy in float64, with the statistics of every second row and column."""
    torch.manual_seed(1)
    adain = AdaIN(5, 7)
    features, code = torch.randn(2, 5, 12, 10) * 3 + 1, torch.randn(2, 7)
    with torch.no_grad():
        result = adain(features, code, torch.ones(2, 1)).numpy()
        wanted = functional.linear(code, adain.affine.weight, adain.affine.bias).double().numpy()
    x = features.double().numpy()
    sampled = x[:, :, ::2, ::2]
    mean, deviation = sampled.mean((2, 3), keepdims=True), np.sqrt(sampled.var((2, 3), keepdims=True) + 1e-5)
    expected = (x - mean) / deviation * wanted[:, :5, None, None] + wanted[:, 5:, None, None]
    np.testing.assert_allclose(result, expected, atol=2e-5)


def test_adain_at_alpha_zero_passes_the_features_unchanged() -> None:
    torch.manual_seed(2)
    features = torch.randn(1, 4, 8, 8)
    result = AdaIN(4, 3)(features, torch.randn(1, 3), torch.zeros(1, 1))
    torch.testing.assert_close(result, features, atol=1e-6, rtol=1e-5)


def test_adain_interpolates_between_content_and_style() -> None:
    torch.manual_seed(3)
    adain, features, code = AdaIN(4, 3), torch.randn(1, 4, 8, 8), torch.randn(1, 3)
    ends = [adain(features, code, torch.full((1, 1), alpha)) for alpha in (0.0, 1.0)]
    torch.testing.assert_close(adain(features, code, torch.full((1, 1), 0.25)), 0.75 * ends[0] + 0.25 * ends[1], atol=1e-5, rtol=1e-4)


def test_gated_adain_is_shut_at_alpha_zero_and_adain_at_alpha_one() -> None:
    torch.manual_seed(5)
    gated, plain = GatedAdaIN(4, 3), AdaIN(4, 3)
    plain.load_state_dict(gated.state_dict())
    features, code = torch.randn(2, 4, 8, 8) * 3 + 1, torch.randn(2, 3)
    shut, half, full = (gated(features, code, torch.full((2, 1), alpha)) for alpha in (0.0, 0.5, 1.0))
    assert not shut.any()
    torch.testing.assert_close(full, plain(features, code, torch.ones(2, 1)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(half, full / 2, atol=1e-6, rtol=1e-4)


def painting(seed: int) -> InstantStyle:
    """A small one with weights of which none is zero or the identity."""
    torch.manual_seed(seed)
    depths = DecoderDepths(eighth=2, quarter=2, mapping=12, gated=True, epsilon=0.01)
    widths = DecoderWidths(eighth=16, quarter=8, half=8)
    config = NetworkConfig(
        content_stem=8, content_widths=(4, 8), content_depths=(1, 2), decoder_widths=widths, decoder_depths=depths, padding_mode="replicate"
    )
    network = InstantStyle(config).eval()
    with torch.no_grad():
        for parameter in network.stylizer.decoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return network


def test_painting_network_gives_the_photo_itself_at_alpha_zero() -> None:
    stylizer, photo = painting(6).stylizer, torch.rand(2, 3, 40, 72) * 2 - 1
    with torch.no_grad():
        images = [stylizer(photo, torch.randn(2, 256), torch.full((2, 1), alpha)) for alpha in (0.0, 1.0)]
    assert torch.equal(images[0], photo)
    assert (images[1] - photo).abs().mean() > 0.1 and images[1].abs().max() <= 1


def test_painting_network_draws_no_frame() -> None:
    """Of a plain photo every pixel looks the same, whatever the weights are: nothing tells the border from the middle."""
    with torch.no_grad():
        # In float64: AdaIN amplifies the rounding of a plain photo's features.
        inputs = torch.full((1, 3, 64, 48), 0.3).double(), torch.randn(1, 256).double(), torch.ones(1, 1).double()
        image, framed = painting(7).double().stylizer(*inputs), InstantStyle().double().eval().stylizer(*inputs)
    # Neighbours of a block of two by two are different filters, hence every second row and column.
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        cells = image[:, :, row::2, column::2]
        torch.testing.assert_close(cells, cells[:, :, 12:13, 12:13].expand_as(cells), atol=1e-6, rtol=0)
    assert (framed[:, :, 0, 24] - framed[:, :, 32, 24]).abs().max() > 1e-3


def test_unclipped_picture_is_the_clipped_one_where_it_is_in_range() -> None:
    stylizer, photo, code, one = painting(8).stylizer, torch.rand(1, 3, 32, 32) * 2 - 1, torch.randn(1, 256) * 3, torch.ones(1, 1)
    with torch.no_grad():
        free = stylizer.decoder.paint(stylizer.content_encoder(photo), code, one)
        clipped = stylizer(photo, code, one)
    assert free.abs().max() > 1
    assert torch.equal(clipped, free.clamp(-1, 1))


def test_epsilon_bounds_how_much_the_noise_of_a_plain_photo_is_amplified() -> None:
    torch.manual_seed(9)
    features, one = 5 + 1e-4 * torch.randn(1, 4, 16, 16), torch.ones(1, 1)
    style_deviation = 2.0
    for epsilon in (1e-5, 1e-2):
        adain = AdaIN(4, 3, epsilon)
        with torch.no_grad():
            adain.affine.bias[:4] = style_deviation
        painted = adain(features, torch.zeros(1, 3), one)
        assert painted.std().item() == pytest.approx(style_deviation * features.std().item() / epsilon**0.5, rel=0.05)


def test_attention_matches_torch_multihead_attention() -> None:
    torch.manual_seed(4)
    ours = GridAttention(16, heads=4, head_dim=4)
    theirs = nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        parts = (ours.query, ours.key, ours.value)
        theirs.in_proj_weight.copy_(torch.cat([part.weight[:, :, 0, 0] for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))  # type: ignore[misc]
        theirs.out_proj.weight.copy_(ours.out.weight[:, :, 0, 0])
        theirs.out_proj.bias.copy_(ours.out.bias)  # type: ignore[arg-type]
        grid = torch.randn(2, 16, 3, 5)
        tokens = grid.flatten(2).transpose(1, 2)
        expected = tokens + theirs(tokens, tokens, tokens)[0]
        torch.testing.assert_close(ours(grid).flatten(2).transpose(1, 2), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (40, 72), (8, 8)])
def test_any_multiple_of_8_keeps_its_size_and_range(network: InstantStyle, height: int, width: int) -> None:
    stylizer = InstantStyle().eval().stylizer
    with torch.no_grad():
        image = stylizer(torch.rand(1, 3, height, width) * 2 - 1, torch.randn(1, 256), torch.ones(1, 1))
    assert image.shape == (1, 3, height, width)
    assert image.min() >= -1 and image.max() <= 1


def test_mix_is_the_weighted_mean() -> None:
    dawn, sunset = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    torch.testing.assert_close(mix([dawn, sunset], [3, 1]), torch.tensor([[0.75, 0.5]]))


@pytest.mark.parametrize(
    ("weights", "message"), [([1.0], "2 codes and 1 weights"), ([-1.0, 2.0], "at least 0"), ([0.0, 0.0], "positive sum")]
)
def test_mix_refuses_weights_that_mean_nothing(weights: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mix([torch.zeros(1, 2), torch.zeros(1, 2)], weights)
