"""The ankle-fracture study: a folder of DICOM files in, an evaluated and explained classifier out.

The method is that of Wang et al., "Harnessing ResNet50 and SENet for enhanced ankle fracture
identification", BMC Musculoskeletal Disorders 25:250, 2024, doi 10.1186/s12891-024-07355-8. Its
images are private: these come from the phantom inside seattn, or from your own folder.

Run it with ``python -m examples.ankle_fracture --help``.
"""
