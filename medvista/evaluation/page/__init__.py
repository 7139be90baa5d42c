"""The report of a run: one HTML page that needs no file beside it, ``arms.svg``, and each table as CSV.

`report` writes it. From numbers come `arms_figure`, `panels` (forest plots), `report_tables` and `csv_tables`; from
training `curves`; from episodes `episode_choice` and `episode_cards`, which the viewer uses, too. `run_files` has the
links to what lies beside the page; `charts` and `svg` draw.
"""
