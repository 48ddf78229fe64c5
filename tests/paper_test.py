"""The paper's 55 sources, each on small files made in its layout."""

import pathlib

import pytest

from data_pipelines import slices
from data_pipelines.catalogue import lists, paper, patterns, rows

LABEL, TEST = rows.LABEL, rows.TEST
VALIDATION, PIXELS = rows.VALIDATION, rows.PIXELS
OUTSIDE, NOT_LISTED = paper.OUTSIDE, paper.NOT_LISTED
ALONE = ""  # taken, and a group of its own


def _decathlon(prefix):
    return {
        f"Task/imagesTr/{prefix}_003.nii.gz": f"{prefix}_003",
        f"Task/imagesTr/._{prefix}_003.nii.gz": OUTSIDE,
        f"Task/imagesTs/{prefix}_001.nii.gz": TEST,
        f"Task/labelsTr/{prefix}_003.nii.gz": LABEL,
        "Task/imagesTr/brain_003.nii.gz": OUTSIDE,
        "Task/dataset.json": OUTSIDE,
    }


def _tcia(patient, identity=None):
    return {
        f"manifest-1/SET/{patient}/06-01-2003-CT-1/5.0-CHEST-1/1-01.dcm": identity
        or patient,
        f"manifest-1/SET/{patient}/1.3.6.1/1.3.6.2/2-001.dcm": identity or patient,
        "manifest-1/metadata.csv": OUTSIDE,
        "manifest-1/SET/LICENSE": OUTSIDE,
    }


def _tcga(patient):
    return _tcia(patient, f"patient {patient}") | {
        f"slides/{patient}-01Z-00-DX1.svs": OUTSIDE
    }


def _whole_heart(kind):
    return {
        f"{kind}_train/{kind}_train_1001_image.nii.gz": f"{kind}_train_1001",
        f"{kind}_train/{kind}_train_1001_label.nii.gz": LABEL,
        f"{kind}_test/{kind}_test_2001_image.nii.gz": TEST,
    }


_ADNI = "002_S_0295/MPR__GradWarp__N3__Scaled/2006-04-18_08_20_30.0/S13408"
_CBIS = "08-29-2017-DDSM-NA-96009/1.000000-full mammogram images-63992/1-1.dcm"
_VOC = "BCCD/ImageSets/Main/trainval.txt"
_FOLD = "train_test_splits/fold_1_train.csv"
_FOV = "DX1_id-5ea409ea_left-41720_top-26109_bottom-26395_right-42014"
_HIPP = "hippseg"

# path -> the group, ALONE, or why the file is not taken
LAYOUTS = {
    "ADNI1-1.5T": {
        f"ADNI/{_ADNI}/ADNI_002_S_0295_MR_MPR_Br_2007_S13408_I45108.nii": "002_S_0295",
        "I31518_MCI.nii": "I31518",
        "ADNI1_Complete.csv": OUTSIDE,
    },
    "ADNI1-3T": {
        f"ADNI/{_ADNI}/ADNI_002_S_0295_MR_MPR_Br_2007_S13408_I45108.nii": "002_S_0295"
    },
    "AML-Cytomorphology": {
        "AML-Cytomorphology/NGS/NGS_8337.tiff": ALONE,
        "AML-Cytomorphology/annotations.dat": OUTSIDE,
    },
    "APTOS2019": {
        "train_images/000c1434d8d7.png": ALONE,
        "test_images/0005cfc8afb6.png": TEST,
        "train.csv": OUTSIDE,
    },
    "BCCD": {
        "BCCD/JPEGImages/BloodImage_00001.jpg": ALONE,
        "BCCD/JPEGImages/BloodImage_00002.jpg": NOT_LISTED,
        "BCCD/Annotations/BloodImage_00001.xml": LABEL,
        _VOC: OUTSIDE,
    },
    "BCSS": {
        "rgbs_colorNormalized/TCGA-A1-A0SP-DX1_xmin6798_ymin5_MPP-0.25.png": (
            "patient TCGA-A1-A0SP"
        ),
        "images/TCGA-A1-A0SK-DX1_xmin45749_ymin25055_MPP-0.2500.png": (
            "patient TCGA-A1-A0SK"
        ),
        "masks/TCGA-A1-A0SK-DX1_xmin45749_ymin25055_MPP-0.2500.png": LABEL,
    },
    "BraTS2018": {
        "HGG/Brats18_TCIA02_168_1/Brats18_TCIA02_168_1_t1ce.nii.gz": (
            "Brats18_TCIA02_168_1"
        ),
        "LGG/Brats18_TCIA10_241_1/Brats18_TCIA10_241_1_flair.nii": (
            "Brats18_TCIA10_241_1"
        ),
        "HGG/Brats18_TCIA02_168_1/Brats18_TCIA02_168_1_seg.nii.gz": LABEL,
        "MICCAI_BraTS_2018_Data_Validation/Brats18_C_A_1/Brats18_C_A_1_t1.nii.gz": (
            VALIDATION
        ),
        "survival_data.csv": OUTSIDE,
    },
    "C-NMC": {
        "C-NMC_training_data/fold_0/all/UID_11_10_1_all.bmp": "UID_11",
        "C-NMC_training_data/fold_2/hem/UID_H22_7_8_hem.bmp": "UID_H22",
        "C-NMC_test_prelim_phase_data/C-NMC_test_prelim_phase_data/1.bmp": VALIDATION,
        "C-NMC_test_final_phase_data/1.bmp": TEST,
    },
    "CBIS-DDSM": {
        f"CBIS-DDSM/Mass-Training_P_00001_LEFT_CC/{_CBIS}": "P_00001",
        f"CBIS-DDSM/Calc-Training_P_00005_RIGHT_MLO/{_CBIS}": "P_00005",
        f"CBIS-DDSM/Mass-Training_P_00001_LEFT_CC_1/{_CBIS}": LABEL,
        f"CBIS-DDSM/Calc-Test_P_00038_LEFT_CC/{_CBIS}": TEST,
        f"CBIS-DDSM/Calc-Test_P_00038_LEFT_CC_1/{_CBIS}": TEST,
        "jpeg/1.3.6.1.4.1.9590.100.1.2.1/1-1.jpg": OUTSIDE,
    },
    "COVIDx-CT": {
        "2A_images/CP_1083_3215_0143.png": "CP_1083_3215",
        "2A_images/137covid_patient1_SR_2_IM00007.png": "137covid_patient1_SR_2",
        "2A_images/NCP_96_1328_0035.png": NOT_LISTED,
        "train_COVIDx_CT-2A.txt": OUTSIDE,
    },
    "Dental-Panoramic": {"Images/100.png": ALONE, "Segmentation1/100.png": LABEL},
    "EyePACS": {
        "train/16920_left.jpeg": "16920",
        "train/16920_right.jpeg": "16920",
        "test/1_left.jpeg": TEST,
        "trainLabels.csv": OUTSIDE,
    },
    "HC18": {
        "training_set/006_HC.png": "006",
        "training_set/014_3HC.png": "014",
        "training_set/006_HC_Annotation.png": LABEL,
        "test_set/000_HC.png": TEST,
    },
    "Heidelberg-OCT": {
        "OCT2017/train/CNV/CNV-1016042-12.jpeg": "1016042",
        "OCT2017/test/NORMAL/NORMAL-12494-1.jpeg": TEST,
        "OCT2017/val/DRUSEN/DRUSEN-95633-1.jpeg": VALIDATION,
    },
    "Hippseg2011": {
        f"{_HIPP}/HFH_008.hdr": "HFH_008",
        f"{_HIPP}/HFH_008.img": PIXELS,
        f"{_HIPP}/HFH_008_Hipp_Labels.hdr": LABEL,
        f"{_HIPP}/HFH_008_Hipp_Labels.img": LABEL,
        f"{_HIPP}/HFH_026.hdr": TEST,
        f"{_HIPP}/HFH_050.img": TEST,
    },
    "HNSCC": _tcia("HNSCC-01-0001"),
    "HyperKvasir": {
        "hyper-kvasir/unlabeled-images/images/ffff9bfd-3dea-4ba1.jpg": ALONE,
        "hyper-kvasir/labeled-images/lower-gi-tract/polyps/0a-1b.jpg": TEST,
        "hyper-kvasir/segmented-images/images/cju0q.jpg": TEST,
    },
    "ISIC2019": {
        "ISIC_2019_Training_Input/ISIC_0025677.jpg": ALONE,
        "ISIC_2019_Training_Input/ISIC_0000000_downsampled.jpg": ALONE,
        "ISIC_2019_Test_Input/ISIC_0034321.jpg": TEST,
        "ISIC_2019_Training_Metadata.csv": OUTSIDE,
    },
    "KiTS19": {
        "data/case_00000/imaging.nii.gz": "case_00000",
        "data/case_00209/imaging.nii.gz": "case_00209",
        "data/case_00000/segmentation.nii.gz": LABEL,
        "data/case_00210/imaging.nii.gz": TEST,
        "data/kits.json": OUTSIDE,
    },
    "Kvasir": {
        "kvasir-dataset-v2/polyps/0a7bdce4-ac0d.jpg": ALONE,
        "kvasir-dataset-v2/normal-z-line/5f5f-ac0d.jpg": ALONE,
        "kvasir-dataset-v2/instruments/5f5f.jpg": OUTSIDE,
    },
    "LHNCBC-Malaria": {
        "cell_images/Parasitized/C100P61ThinF_IMG_20150918_144104_cell_162.png": (
            "C100P61"
        ),
        "cell_images/Uninfected/C1_thinF_IMG_20150604_104722_cell_9.png": "C1",
        "cell_images/Uninfected/Thumbs.db": OUTSIDE,
    },
    "LiTS2017": {
        "Training Batch 1/volume-13.nii": "volume-13",
        "Training Batch 1/segmentation-13.nii": LABEL,
        "test/test-volume-0.nii": TEST,
    },
    "LUNA16": {
        "subset0/1.3.6.1.4.1.14519.5.2.1.6279.6001.1312.mhd": (
            "1.3.6.1.4.1.14519.5.2.1.6279.6001.1312"
        ),
        "subset0/1.3.6.1.4.1.14519.5.2.1.6279.6001.1312.raw": PIXELS,
        "seg-lungs-LUNA16/1.3.6.1.4.1.14519.5.2.1.6279.6001.1312.mhd": LABEL,
        "CSVFILES/annotations.csv": OUTSIDE,
    },
    "m2caiSeg": {
        "m2caiSeg dataset/train/images/25025.jpg": ALONE,
        "m2caiSeg dataset/trainval/images/25025.jpg": ALONE,
        "m2caiSeg dataset/train/groundtruth/25025_gt.png": LABEL,
        "m2caiSeg dataset/test/images/4575.jpg": TEST,
    },
    "MitoEM": {
        "EM30-H-im/im0000.png": "EM30-H",
        "EM30-R-im/im/im0399.png": "EM30-R",
        "EM30-R-im/im0429.png": VALIDATION,
        "EM30-R-im/im0500.png": TEST,
        "EM30-H-mito-train-val-v2/mito-train-v2/seg0000.tif": LABEL,
    },
    "MLL-BoneMarrow": {
        "BM_cytomorphology_data/PMO/11001-11994/PMO_11991.jpg": ALONE,
        "BM_cytomorphology_data/ABE/ABE_00001.jpg": ALONE,
        "abbreviations.csv": OUTSIDE,
    },
    "MMWHS-CT": _whole_heart("ct"),
    "MMWHS-MR": _whole_heart("mr"),
    "MSD-Colon": _decathlon("colon"),
    "MSD-Heart": _decathlon("la"),
    "MSD-HepaticVessel": _decathlon("hepaticvessel"),
    "MSD-Liver": _decathlon("liver"),
    "MSD-Lung": _decathlon("lung"),
    "MSD-Pancreas": _decathlon("pancreas"),
    "MSD-Spleen": _decathlon("spleen"),
    "NuCLS": {
        f"rgb/TCGA-LL-A740-{_FOV}.png": "patient TCGA-LL-A740",
        f"rgb/TCGA-S3-AA10-{_FOV}.png": NOT_LISTED,
        f"mask/TCGA-LL-A740-{_FOV}.png": LABEL,
        f"visualization/TCGA-LL-A740-{_FOV}.png": LABEL,
        _FOLD: OUTSIDE,
    },
    "OPC-Radiomics": _tcia("OPC-00524"),
    "Osteosarcoma-UT": {
        "Training-Set-1/set11/P9-B6-19328-19600.jpg": "P9",
        "Training-Set-2/set8/Case-48-P5-C17-7752-15521.jpg": "Case-48",
        "ML_Features_1144.csv": OUTSIDE,
    },
    "Pancreas-CT": _tcia("PANCREAS_0055") | {"label0055.nii.gz": OUTSIDE},
    "PatchCamelyon": {
        "camelyonpatch_level_2_split_train_x.h5": ALONE,
        "camelyonpatch_level_2_split_train_y.h5": LABEL,
        "camelyonpatch_level_2_split_train_mask.h5": LABEL,
        "camelyonpatch_level_2_split_valid_x.h5": VALIDATION,
        "camelyonpatch_level_2_split_test_x.h5": TEST,
        "camelyonpatch_level_2_split_test_y.h5": LABEL,
    },
    "Pelvic-Reference-Data": _tcia("Pelvic-Ref-040"),
    "PROSTATEx": _tcia("ProstateX-0091")
    | {
        "PROSTATEx/ProstateX-0203/s/t/1-02.dcm": "ProstateX-0203",
        "PROSTATEx/ProstateX-0204/s/t/1-02.dcm": TEST,
        "PROSTATEx/ProstateX-0345/s/t/1-02.dcm": TEST,
    },
    "RSNA-Bone-Age": {
        "boneage-training-dataset/boneage-training-dataset/14569.png": ALONE,
        "boneage-test-dataset/boneage-test-dataset/4360.png": TEST,
        "boneage-validation-dataset-1/1386.png": VALIDATION,
        "boneage-training-dataset.csv": OUTSIDE,
    },
    "SARAS-MESAD": {
        "mesad-real/train/images/real3_frame_942.jpg": "real3",
        "mesad-real/train/annotations/real3_frame_942.txt": LABEL,
        "mesad-real/val/images/real2_frame_1.jpg": VALIDATION,
        "mesad-phantom/test/images/phantom1_frame_1.jpg": TEST,
    },
    "Shenzhen": {
        "ChinaSet_AllFiles/CXR_png/CHNCXR_0411_1.png": ALONE,
        "ChinaSet_AllFiles/ClinicalReadings/CHNCXR_0411_1.txt": OUTSIDE,
        "masks/CHNCXR_0411_1_mask.png": LABEL,
    },
    "TCGA-CESC": _tcga("TCGA-VS-A8Q8"),
    "TCGA-COAD": _tcga("TCGA-CK-5915"),
    "TCGA-ESCA": _tcga("TCGA-VR-A8ET"),
    "TCGA-KICH": _tcga("TCGA-KN-8419"),
    "TCGA-KIRC": _tcga("TCGA-B0-5081"),
    "TCGA-READ": _tcga("TCGA-CL-5917"),
    "TCGA-SARC": _tcga("TCGA-QQ-A5VC"),
    "TCGA-THCA": _tcga("TCGA-DE-A4MC"),
    "VinBigData": {
        "train/c002429d774966eacca0e2413295040b.dicom": ALONE,
        "train/34bc3d49ab74c913ee2517f5e0f4e09e.png": ALONE,
        "test/4d0948aafddbf11a1d3ded0e8a28907e.dicom": TEST,
        "train.csv": OUTSIDE,
    },
    "X-ray-Shoulder": {
        "C1/311WP+4.png": "311WP",
        "Others/1210-qry+-5+-30.png": "1210-qry",
        "Others/QJZ+0_-30.png": "QJZ",
        "A1/LBJ.png": "LBJ",
    },
}
LISTS = {
    _VOC: "BloodImage_00000\nBloodImage_00001\n",
    "train_COVIDx_CT-2A.txt": (
        "CP_1083_3215_0143.png 1 0 62 512 404\n"
        "137covid_patient1_SR_2_IM00007.png 2 26 68 485 435\n"
    ),
    _FOLD: ",slide_name\n0,TCGA-LL-A740-DX1\n",
}


def _download(root, paths):
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(LISTS.get(path, ""))
    return sorted(path for path in root.rglob("*") if path.is_file())


def _told(source, choice):
    """A choice, as LAYOUTS has it."""
    if choice.reason:
        return choice.reason
    return (choice.identity or ALONE).removeprefix(f"{source.name} ")


def test_there_are_the_papers_55_sources_of_49_published_lists():
    names = [source.name for source in paper.SOURCES]
    assert names == sorted(LAYOUTS, key=str.lower) and len(set(names)) == 55
    released = {source.released for source in paper.SOURCES} - {None}
    assert len(released) == 48  # and that of HNSCC, which is too long to be shown
    # the lines of those 48; MSD has 7 headings beside its files
    assert sum(source.lines or 0 for source in paper.SOURCES) + 7 == 310_472


@pytest.mark.parametrize("name", LAYOUTS)
def test_files_as_they_lie_after_download(name, tmp_path):
    source = paper.find(name)
    paths = _download(tmp_path, LAYOUTS[name])
    choices = paper.select(source, tmp_path, paths, share=1)
    found = {
        path.relative_to(tmp_path).as_posix(): _told(source, choice)
        for path, choice in zip(paths, choices, strict=True)
    }
    assert found == LAYOUTS[name]


@pytest.mark.parametrize("source", paper.SOURCES, ids=lambda source: source.name)
def test_rows_hold_only_what_records_may_hold(source):
    assert source.modalities and set(source.modalities) <= slices.MODALITIES.keys()
    assert source.organ is None or source.organ in slices.ORGANS
    assert source.dimension in ("2-D", "3-D")
    assert source.split in (rows.OFFICIAL, rows.FIFTH)
    assert source.where or source.doubt
    for other in source.overlaps:
        assert source.name in paper.find(other).overlaps
    grouped = any("{" in pattern for pattern in source.images)
    assert grouped == (source.unit not in ("image", "file"))


def test_a_folder_inside_of_the_layout_will_do(tmp_path):
    source = paper.find("MSD-Spleen")
    paths = _download(
        tmp_path, ["imagesTr/spleen_10.nii.gz", "imagesTs/spleen_1.nii.gz"]
    )
    (choice,) = paper.select(source, tmp_path / "imagesTr", paths[:1], share=1)
    assert choice == paper.Choice(None, "MSD-Spleen spleen_10")
    with pytest.raises(ValueError, match="not one of 1 files"):
        paper.select(source, tmp_path / "imagesTs", paths[1:], share=1)


def test_a_folder_of_something_else_is_one_error_with_the_layout(tmp_path):
    paths = _download(tmp_path, ["a.png", "b/c.dcm"])
    with pytest.raises(ValueError) as caught:
        paper.select(paper.find("KiTS19"), tmp_path, paths)
    text = str(caught.value)
    assert "not one of 2 files is laid out as KiTS19" in text
    assert "case_00" in text and "imaging.nii.gz" in text and "\n" not in text


def test_names_are_found_in_either_case_and_by_their_released_folder():
    assert paper.find("isic2019").name == "ISIC2019"
    assert paper.find("0_SSL_LUNA2016_Lung").name == "LUNA16"
    with pytest.raises(ValueError, match="did you mean KiTS19"):
        paper.find("kits")
    with pytest.raises(ValueError, match="MSD-Colon or MSD-Heart"):
        paper.find("MSD")
    with pytest.raises(ValueError, match="among the paper's 55; see `catalogue`"):
        paper.find("")


def test_the_fifth_is_a_fifth_of_the_groups_and_never_splits_one():
    source = paper.find("EyePACS")
    taken = 0
    for patient in range(5_000):
        sides = [
            paper.choose(source, f"train/{patient}_{side}.jpeg")
            for side in ("left", "right")
        ]
        assert sides[0] == sides[1]
        taken += sides[0].reason is None
    # binomial: 1,000 with a standard deviation of 28
    assert 900 < taken < 1_100


def test_the_fifth_is_the_same_for_ever():
    source = paper.find("KiTS19")
    taken = [
        number
        for number in range(60)
        if paper.choose(source, f"case_{number:05d}/imaging.nii.gz").reason is None
    ]
    # the first 8 bytes of SHA-256("lvmmed fifth kits19 case_000NN") under 2**64 / 5
    assert taken == [12, 13, 16, 17, 24, 34, 41, 48, 50]


def test_a_wrapper_folder_changes_nothing_of_the_draw():
    source = paper.find("BraTS2018")
    path = "HGG/Brats18_{}_1/Brats18_{}_1_t1.nii.gz"
    for number in range(20):
        inner = path.format(number, number)
        assert paper.choose(source, inner) == paper.choose(source, f"x/{inner}")


def test_three_patients_give_at_least_one(tmp_path):
    source = paper.find("TCGA-READ")
    patients = [f"TCGA-AA-000{number}" for number in range(3)]
    paths = _download(
        tmp_path, [f"{one}/s/t/1-{slice}.dcm" for one in patients for slice in (1, 2)]
    )
    alone = [paper.choose(source, path.relative_to(tmp_path)).reason for path in paths]
    choices = paper.select(source, tmp_path, paths)
    taken = {choice.identity for choice in choices if choice.reason is None}
    assert set(alone) == {paper.NOT_DRAWN} and len(taken) == 1
    assert sum(choice.reason is None for choice in choices) == 2


def test_a_list_that_the_set_comes_with_must_be_there(tmp_path):
    paths = _download(tmp_path, ["BCCD/JPEGImages/BloodImage_00001.jpg"])
    source = paper.find("BCCD")
    with pytest.raises(ValueError, match=r"comes with is missing: ImageSets/Main"):
        paper.select(source, tmp_path, paths)
    with pytest.raises(ValueError, match="needs its list"):
        paper.choose(source, "BCCD/JPEGImages/BloodImage_00001.jpg")


@pytest.mark.parametrize(
    ("name", "line", "path", "other"),
    [
        # lines as the authors published them
        (
            "KiTS19",
            "case_00154/imaging.nii.gz",
            "case_00154/imaging.nii.gz",
            "case_00155",
        ),
        (
            "BraTS2018",
            "Brats18_TCIA10_241_1",
            "LGG/{}/{}_t1.nii.gz",
            "Brats18_TCIA10_2",
        ),
        ("LiTS2017", "volume-13", "volume-13.nii", "volume-1"),
        ("ISIC2019", "SCC_ISIC_0060356.jpg", "{}/ISIC_0060356.jpg", "0060357"),
        ("APTOS2019", "4_c62585bd68fb.png", "train_images/c62585bd68fb.png", "1b32"),
        ("EyePACS", "4_16920_left.jpeg", "train/16920_left.jpeg", "16920_right"),
        ("VinBigData", "34bc3d49ab74.png", "train/34bc3d49ab74.dicom", "4d0948aafdd"),
        ("LUNA16", "1.3.6.1.4.14519.mhd", "subset3/1.3.6.1.4.14519.mhd", "4.14518"),
        ("MMWHS-CT", "ct_train_1005_image.nii", "ct_train_1005_image.nii.gz", "1006"),
        ("HC18", "014_3HC.png", "training_set/014_3HC.png", "014_2HC"),
    ],
)
def test_a_published_list_decides_alone(name, line, path, other):
    source = paper.find(name)
    folder = "ISIC_2019_Training_Input" if name == "ISIC2019" else line
    path = path.replace("{}", folder)
    mine = lists.given(source, [line])
    others = lists.given(source, [other, "x"])
    assert paper.choose(source, path, names=mine, share=0).reason is None
    assert paper.choose(source, path, names=others, share=1).reason == NOT_LISTED


def test_headings_of_a_list_take_nothing(tmp_path):
    source = paper.find("MSD-Spleen")
    folder = "Task09_Spleen/imagesTr"
    paths = _download(tmp_path, [f"{folder}/spleen_{one}.nii.gz" for one in (10, 11)])
    lines = ["Task09_Spleen", f"{folder}/spleen_10.nii.gz", ""]
    ten, eleven = paper.select(source, tmp_path, paths, lines=lines)
    assert ten.reason is None and eleven.reason == NOT_LISTED
    with pytest.raises(ValueError, match="names none of MSD-Spleen's files"):
        paper.select(source, tmp_path, paths, lines=["Default split"])


def test_a_patient_of_tcga_is_one_in_every_source():
    names = frozenset({"tcga-a1-a0sk"})
    images = {
        "BCSS": "images/TCGA-A1-A0SK-DX1_xmin1.png",
        "NuCLS": "rgb/TCGA-A1-A0SK-DX1_id-1.png",
        "TCGA-KIRC": "tcga-a1-a0sk/s/t/1-1.dcm",
    }
    identities = {
        paper.choose(paper.find(name), path, names=names).identity
        for name, path in images.items()
    }
    assert identities == {"patient TCGA-A1-A0SK"}  # as the DICOM reader says it


def test_reasons_name_no_file():
    for name, files in LAYOUTS.items():
        source = paper.find(name)
        for path in files:
            choice = paper.choose(source, path, names=frozenset())
            assert choice.reason in (
                LABEL,
                TEST,
                VALIDATION,
                PIXELS,
                OUTSIDE,
                NOT_LISTED,
            )


def test_patterns_read_as_their_module_says():
    pattern = "case_#/{*}.nii(|.gz)"
    found = patterns.match(pattern, "data/CASE_00007/scan.nii.gz")
    assert patterns.group_of(found) == "scan"
    assert patterns.match(pattern, "case_7/b.nii")
    for path in ("case_/b.nii", "case_7/a/b.nii", "showcase_7/b.nii", "case_7/b_nii"):
        assert not patterns.match(pattern, path)
    assert patterns.match("a/**/b?[0-3].x", "a/b/c/bz2.x")
    assert patterns.match("a/**/b?[0-3].x", "a/bz0.x")
    assert not patterns.match("a/**/b?[0-3].x", "a/bz4.x")
    assert patterns.group_of(patterns.match("a/*.x", "deep/a/b.x")) == "a/b.x"


def test_the_guard_says_what_it_does():
    liver = paper.guard(paper.find("LiTS2017"))
    assert (
        "Draws 20 % by volume" in liver and "MSD-Liver" in liver and "leakage" in liver
    )
    assert "official training part only" in paper.guard(paper.find("C-NMC"))


def test_windows_paths_are_read_too():
    path = pathlib.PureWindowsPath(r"data\case_00000\imaging.nii.gz")
    choice = paper.choose(paper.find("KiTS19"), path, share=1)
    assert choice.identity == "KiTS19 case_00000"
