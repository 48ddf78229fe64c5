"""The paper's 30 sources of CT and MR."""

from data_pipelines.catalogue import rows as source


def _decathlon(task, organ, prefix, size, lines, modality="CT", **more):
    """A task of the Medical Segmentation Decathlon."""
    name = task.partition("_")[2]
    return source.Source(
        name=f"MSD-{name}",
        title=f"Medical Segmentation Decathlon, {task}",
        modalities=(modality,),
        organ=organ,
        dimension="3-D",
        size=size,
        licence="CC BY-SA 4.0",
        where=f"medicaldecathlon.com, {task}.tar",
        split=source.FIFTH,
        part="imagesTr; the labels of imagesTs are not public",
        unit="volume",
        images=(f"imagesTr/{{{prefix}_#}}.nii.gz",),
        others=(("labelsTr/**", source.LABEL), ("imagesTs/**", source.TEST)),
        released="MSD",
        lines=lines,
        **more,
    )


def _tcia(name, title, modalities, organ, size, patient, released, lines, **more):
    """A DICOM collection: PATIENT/STUDY/SERIES/1-001.dcm, by either folder naming."""
    collection = more.pop("collection", name)
    row = {
        "licence": "CC BY 3.0",
        "where": source.TCIA + collection,
        "part": source.ALL,
        "others": (),
    } | more
    return source.Source(
        name=name,
        title=title,
        modalities=modalities,
        organ=organ,
        dimension="3-D",
        size=size,
        split=source.FIFTH,
        unit="patient",
        images=(f"{{{patient}}}/**/*.dcm",),
        released=released,
        lines=lines,
        **row,
    )


def _tcga(code, title, modalities, organ, size, released, lines):
    """The radiology of a cohort of The Cancer Genome Atlas, without its slides."""
    patient = "TCGA-??-????"
    name = f"TCGA-{code}"
    released = f"0_SSL_{name}_{released}"
    return _tcia(name, title, modalities, organ, size, patient, released, lines)


def _adni(tesla, size, lines, where):
    return source.Source(
        name=f"ADNI1-{tesla}T",
        title=f"Alzheimer's Disease Neuroimaging Initiative 1, T1 at {tesla} T",
        modalities=("MR",),
        organ="BRAIN",
        dimension="3-D",
        size=size,
        licence="ADNI data use",
        where=f"adni.loni.usc.edu, on request: {where}",
        split=source.FIFTH,
        part=source.ALL,
        unit="patient",
        images=("{#_S_#}/**/ADNI_*_MR_*.nii", "{I#}_(AD|CN|MCI).nii"),
        released=f"ADNI1_MRI_Brain_{tesla}T",
        lines=lines,
        doubt="which collection the authors took; they renamed the files, so that the "
        "released list names images and not patients. A path does not tell the field "
        "strength: keep each in a folder of its own.",
    )


def _whole_heart(kind, modality, lines):
    return source.Source(
        name=f"MMWHS-{kind}",
        title=f"Multi-Modality Whole Heart Segmentation 2017, {kind}",
        modalities=(modality,),
        organ="HEART",
        dimension="3-D",
        size="60 volumes",
        licence=None,
        where="the challenge's page, zmiclab.github.io/zxh/0/mmwhs",
        split=source.FIFTH,
        part=f"the 20 volumes {kind.lower()}_train; {kind.lower()}_test has no labels",
        unit="volume",
        images=(f"{{{kind}_train_#}}_image.nii(|.gz)",),
        others=(
            (f"{kind}_*_label.nii(|.gz)", source.LABEL),
            (f"{kind}_test_#_image.nii(|.gz)", source.TEST),
        ),
        released=f"MMWHS_{kind}_Heart",
        lines=lines,
    )


ROWS = (
    _adni("1.5", None, 127, "ADNI1:Complete 1Yr 1.5T"),
    _adni("3", None, 24, "an ADNI1 collection at 3T"),
    source.Source(
        name="BraTS2018",
        title="Brain Tumor Segmentation Challenge 2018",
        modalities=("MR",),
        organ="BRAIN",
        dimension="3-D",
        size="285 to train on",
        licence=None,
        where="www.med.upenn.edu/sbia/brats2018, on request",
        split=source.FIFTH,
        part="the training data, HGG and LGG, four sequences a patient",
        unit="patient",
        images=("(HGG|LGG)/{Brats18_*}/*_(flair|t1|t1ce|t2).nii(|.gz)",),
        others=(
            ("*_seg.nii(|.gz)", source.LABEL),
            ("*Validation*/**", source.VALIDATION),
        ),
        released="0_SSL_BraTS2018_Brain",
        lines=57,
    ),
    source.Source(
        name="COVIDx-CT",
        title="COVIDx CT: slices of chest CT of COVID-19, pneumonia and neither",
        modalities=("CT",),
        organ="CHEST",
        dimension="2-D",
        size="194,922 slices (2A)",
        licence=None,
        where="kaggle.com/datasets/hgunraj/covidxct",
        split=source.OFFICIAL,
        part="the images of the train_COVIDx_CT list",
        unit="scan",
        images=("(2A|3A)_images/{*}[_-](|IM)#.png",),
        own_list=source.OwnList("train_COVIDx*CT-*.txt", "{*}.png"),
        released="COVIDx_CT_Lung",
        lines=1,
        doubt='the released list says "default split" of the page\'s version 4: taken '
        "to be version 2A.",
    ),
    _tcia(
        "HNSCC",
        "Head and neck squamous cell carcinoma",
        ("CT", "MR", "PT"),
        "NECK",
        "627 patients",
        "HNSCC-#-#",
        None,
        None,
        licence=None,
        doubt="modalities, licence, and the published list, which is too long to be "
        "shown. Access to heads is restricted.",
    ),
    source.Source(
        name="Hippseg2011",
        title="MR for hippocampus segmentation, Henry Ford Hospital (HFH)",
        modalities=("MR",),
        organ="BRAIN",
        dimension="3-D",
        size="50 volumes",
        licence="research, education",
        where="www.nitrc.org/projects/hippseg_2011",
        split=source.FIFTH,
        part="HFH_001 to HFH_025; the labels of the others are not public",
        unit="patient",
        images=("{HFH_0(0[1-9]|1[0-9]|2[0-5])}.hdr",),
        others=(
            ("HFH_#_Hipp_Labels.(hdr|img)", source.LABEL),
            ("HFH_0(2[6-9]|[3-5][0-9]).(hdr|img)", source.TEST),
            ("HFH_#.img", source.PIXELS),
        ),
        released="Hippseg2011_MRI_Brain",
        lines=8,
        doubt="that the 25 training subjects are numbers 1 to 25.",
    ),
    source.Source(
        name="KiTS19",
        title="Kidney Tumor Segmentation Challenge 2019",
        modalities=("CT",),
        organ="KIDNEY",
        dimension="3-D",
        size="300 volumes",
        licence="CC BY-NC-SA 4.0",
        where="github.com/neheller/kits19",
        split=source.FIFTH,
        part="case_00000 to case_00209",
        unit="patient",
        images=("{case_00([01][0-9][0-9]|20[0-9])}/imaging.nii.gz",),
        others=(
            ("case_#/segmentation.nii.gz", source.LABEL),
            ("case_00(2[1-9][0-9])/imaging.nii.gz", source.TEST),
        ),
        released="KiTS19_CT_Kidney",
        lines=68,
    ),
    source.Source(
        name="LiTS2017",
        title="Liver Tumor Segmentation Challenge 2017",
        modalities=("CT",),
        organ="LIVER",
        dimension="3-D",
        size="201 volumes",
        licence=None,
        where="competitions.codalab.org/competitions/17094",
        split=source.FIFTH,
        part="the 131 training volumes; the 70 of the test have no labels",
        unit="volume",
        images=("{volume-#}.nii(|.gz)",),
        others=(
            ("segmentation-#.nii(|.gz)", source.LABEL),
            ("test-(volume|segmentation)-#.nii(|.gz)", source.TEST),
        ),
        released="0_SSL_LiTS2017_Liver",
        lines=30,
        overlaps=("MSD-Liver",),
    ),
    source.Source(
        name="LUNA16",
        title="Lung Nodule Analysis 2016: CT of LIDC-IDRI",
        modalities=("CT",),
        organ="LUNG",
        dimension="3-D",
        size="888 volumes",
        licence="CC BY 4.0",
        where="luna16.grand-challenge.org",
        split=source.FIFTH,
        part="all of it: subset0 to subset9 are folds, none is a test part",
        unit="volume",
        images=("subset#/{*}.mhd",),
        others=(
            ("subset#/*.(raw|zraw)", source.PIXELS),
            ("seg-lungs-LUNA16/**", source.LABEL),
        ),
        released="0_SSL_LUNA2016_Lung",
        lines=356,
    ),
    _whole_heart("CT", "CT", 10),
    _whole_heart("MR", "MR", 10),
    _decathlon("Task02_Heart", "HEART", "la", "30 volumes", 7, "MR"),
    _decathlon(
        "Task03_Liver", "LIVER", "liver", "201 volumes", 33, overlaps=("LiTS2017",)
    ),
    _decathlon("Task06_Lung", "LUNG", "lung", "96 volumes", 17),
    _decathlon("Task07_Pancreas", "PANCREAS", "pancreas", "420 volumes", 70),
    _decathlon("Task08_HepaticVessel", "LIVER", "hepaticvessel", "443 volumes", 75),
    _decathlon("Task09_Spleen", "SPLEEN", "spleen", "61 volumes", 12),
    _decathlon("Task10_Colon", "COLON", "colon", "190 volumes", 32),
    _tcia(
        "OPC-Radiomics",
        "Oropharyngeal cancer, planning CT",
        ("CT",),
        "NECK",
        "606 patients",
        "OPC-#",
        "0_SSL_OPC-Radiomics_CT_Oropharynx",
        21_517,
        licence=None,
        doubt="licence. Access to heads is restricted.",
    ),
    _tcia(
        "Pancreas-CT",
        "Abdominal CT of healthy pancreases",
        ("CT",),
        "PANCREAS",
        "82 patients",
        "PANCREAS_#",
        "0_SSL_Pancreas-CT_CT_Pancreas",
        3_740,
    ),
    _tcia(
        "Pelvic-Reference-Data",
        "Pelvic CT with landmarks",
        ("CT",),
        "PELVIS",
        "58 patients",
        "Pelvic-Ref-#",
        "0_SSL_Pelvic-Reference-Data_CT_Pelvic",
        2_725,
        licence=None,
    ),
    _tcia(
        "PROSTATEx",
        "SPIE-AAPM-NCI PROSTATEx challenge",
        ("MR",),
        "PROSTATE",
        "346 patients",
        "ProstateX-0([01][0-9][0-9]|20[0-3])",
        "0_SSL_PROSTATEx_MRI_Prostate",
        7_816,
        part="ProstateX-0000 to ProstateX-0203; the others are the challenge's test",
        others=(("ProstateX-0(20[4-9]|2[1-9][0-9]|3[0-9][0-9])/**", source.TEST),),
    ),
    _tcga(
        "CESC", "Cervical cancer", ("MR",), "PELVIS", "54 patients", "MRI_Cervix", 3_977
    ),
    _tcga(
        "COAD",
        "Colon adenocarcinoma",
        ("CT",),
        "COLON",
        "25 patients",
        "CT_Colon",
        1_647,
    ),
    _tcga(
        "ESCA",
        "Esophageal carcinoma",
        ("CT",),
        "CHEST",
        "16 patients",
        "CT_Esophagus",
        4_427,
    ),
    _tcga(
        "KICH",
        "Kidney chromophobe",
        ("CT", "MR"),
        "KIDNEY",
        "15 patients",
        "Mixed_Kidney",
        2_192,
    ),
    _tcga(
        "KIRC",
        "Kidney clear cell carcinoma",
        ("CT", "MR", "CR"),
        "KIDNEY",
        "267 patients",
        "Mixed_Multi",
        34_158,
    ),
    _tcga(
        "READ",
        "Rectum adenocarcinoma",
        ("CT", "MR"),
        "PELVIS",
        "3 patients",
        "Mixed_Rectum",
        248,
    ),
    _tcga("SARC", "Sarcoma", ("CT", "MR"), None, "5 patients", "Mixed_Multi", 624),
    _tcga(
        "THCA", "Thyroid cancer", ("CT", "PT"), "NECK", "6 patients", "CT_Thyroid", 668
    ),
)
