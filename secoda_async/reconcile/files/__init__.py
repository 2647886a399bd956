"""Files of groups: YAML, JSON and tables.

The modules in reading order: `find_files`, `input_file` and `decoding` lead from paths to text; `yaml_nodes` and
`json_nodes`, or `csv_rows`, `columns`, `cells` and `tables`, lead from text to `nodes`; `foreign`, `members` and
`validation` lead from nodes to groups. `reading` connects these steps, and `writing` is the way back.
"""
