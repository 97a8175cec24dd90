"The notebooks are tests too"

def test_notebooks(run, copy):
    out = run('nbdev-test', cwd=copy())
    assert out.rstrip().endswith('Success.'), out  # with no notebook at all, nbdev-test says so and exits with 0
