"""Values of runs (`get_config`) and studies (`get_study`): what each reproduces."""
