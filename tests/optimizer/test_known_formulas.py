from optimizer.known_formulas import known_formulas


def test_common_compounds_that_the_reference_table_lacks_are_there():
    assert {"MgO", "SiRh", "BN"} <= known_formulas()


def test_sodium_nitride_was_not_read_as_a_missing_value():
    assert "nan" not in known_formulas()
