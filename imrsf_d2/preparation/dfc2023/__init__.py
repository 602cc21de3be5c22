"""From a download of DFC2023 track 2 to tiles that models train on."""
