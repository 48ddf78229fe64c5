"""Small whole files of every format that `prepare` reads, to be broken."""

import importlib.util
import io
import pathlib
import tempfile

import nibabel
import numpy as np
import PIL.Image
import pydicom.data
import skimage.data
import tifffile

# of pydicom's test files: every transfer syntax, palette, YBR, overlays, frames
_DICOM = """
CT_small.dcm ExplVR_BigEnd.dcm J2K_pixelrep_mismatch.dcm JPEG-lossy.dcm JPEG2000.dcm
JPEGLSNearLossless_08.dcm JPGExtended.dcm MR_small.dcm MR_small_RLE.dcm
MR_small_implicit.dcm MR_small_jp2klossless.dcm MR_small_jpeg_ls_lossless.dcm
SC_rgb_jpeg.dcm SC_rgb_rle_16bit_2frame.dcm SC_rgb_small_odd.dcm
SC_ybr_full_422_uncompressed.dcm image_dfl.dcm liver_1frame.dcm rtdose_1frame.dcm
examples_palette.dcm examples_overlay.dcm test-SR.dcm
"""
_LARGEST = 400_000  # bytes


def seeds() -> list[tuple[str, bytes]]:
    """(ending of the name, bytes) of each; formats whose package is absent are not."""
    grey = skimage.data.retina()[400:496, 400:520, 1]
    colour = skimage.data.retina()[400:496, 400:520]
    volume = np.add.outer(np.add.outer(np.arange(40), np.arange(36)), np.arange(6))
    volume = (volume * 7 % 300).astype(np.int16)
    return [
        *_pictures(grey, colour),
        *_tiffs(grey, colour),
        *_dicoms(),
        *_niftis(volume),
        *_itk(volume),
        *_arrays(grey, colour),
        *_slides(colour),
    ]


def _pictures(grey, colour):
    forms = [
        ("png", grey, "PNG", {}),
        ("png", grey.astype(np.uint16) * 200, "PNG", {}),
        ("png", colour, "PNG", {}),
        ("jpg", grey, "JPEG", {}),
        ("jpg", colour, "JPEG", {"progressive": True}),
        ("bmp", colour, "BMP", {}),
        ("webp", colour, "WEBP", {"lossless": True}),
        ("webp", colour, "WEBP", {"quality": 60}),
    ]
    for ending, pixels, name, options in forms:
        buffer = io.BytesIO()
        PIL.Image.fromarray(pixels).save(buffer, format=name, **options)
        yield f".{ending}", buffer.getvalue()
    buffer = io.BytesIO()
    PIL.Image.fromarray(colour).convert("P").save(buffer, format="PNG")
    yield ".png", buffer.getvalue()


def _tiffs(grey, colour):
    stack = np.stack([grey, grey[::-1]]).astype(np.uint16) * 100
    forms = [
        (grey, {"photometric": "minisblack"}),
        (colour, {"photometric": "rgb", "compression": "zlib", "predictor": True}),
        (stack, {"photometric": "minisblack", "compression": "lzw"}),
        (grey.astype(np.float32), {"photometric": "minisblack", "tile": (16, 16)}),
        (colour, {"photometric": "rgb", "compression": "jpeg"}),
        (grey, {"photometric": "minisblack", "bigtiff": True, "compression": "zstd"}),
    ]
    for pixels, options in forms:
        big = options.pop("bigtiff", False)
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, pixels, bigtiff=big, **options)
        yield ".tif", buffer.getvalue()


def _dicoms():
    for name in _DICOM.split():
        path = pathlib.Path(pydicom.data.get_testdata_file(name, download=False))
        if path.stat().st_size <= _LARGEST:
            yield ".dcm", path.read_bytes()


def _niftis(volume):
    affine = np.diag([-1.0, 1.0, 2.0, 1.0])
    for form in (nibabel.Nifti1Image, nibabel.Nifti2Image):
        yield ".nii", form(volume, affine).to_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "a.nii.gz")
        nibabel.save(nibabel.Nifti1Image(volume.astype(np.float32), affine), path)
        yield ".nii.gz", path.read_bytes()
        colours = np.zeros((40, 36, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
        nibabel.save(nibabel.Nifti1Image(colours, affine), path)
        yield ".nii.gz", path.read_bytes()


def _itk(volume):
    if importlib.util.find_spec("SimpleITK") is None:
        return
    import SimpleITK

    image = SimpleITK.GetImageFromArray(volume)
    with tempfile.TemporaryDirectory() as folder:
        for ending, packed in ((".mha", False), (".mha", True), (".nrrd", True)):
            path = pathlib.Path(folder, f"a{ending}")
            SimpleITK.WriteImage(image, str(path), packed)
            yield ending, path.read_bytes()


def _arrays(grey, colour):
    images = np.stack([colour] * 4)[:, :64, :64]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, train_images=images, train_labels=np.arange(4)[:, None] % 2
    )
    yield ".npz", buffer.getvalue()
    buffer = io.BytesIO()
    np.save(buffer, grey)
    yield ".npy", buffer.getvalue()
    if importlib.util.find_spec("h5py") is None:
        return
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("x", data=images, compression="gzip")
    yield ".h5", buffer.getvalue()


def _slides(colour):
    if importlib.util.find_spec("openslide") is None:
        return
    tiles = np.tile(colour[:64, :64], (8, 8, 1))
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        options = {"photometric": "rgb", "tile": (128, 128), "compression": "jpeg"}
        text = "Aperio Image Library v1\r\n512x512 (128x128)|AppMag = 20|MPP = 0.5"
        file.write(tiles, description=text, **options)
        file.write(tiles[::4, ::4], description=text, **options)
    yield ".svs", buffer.getvalue()
