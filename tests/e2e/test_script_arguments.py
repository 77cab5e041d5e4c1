"""What an entry_script gets as its arguments: the text of the config, byte for byte, with $NAME
replaced by each rank for itself and no shell in between.  A command is the shell's."""

import json

import muster_test
from muster_test import MPIRUN, MusterTest

# Prints its arguments as JSON, one line; bytes that are no UTF-8 included.
TELL = "import json, os, sys\nprint(json.dumps([os.fsencode(a).decode('latin-1') for a in sys.argv[1:]]))\n"


class ScriptArgumentsTest(MusterTest):
    def arguments(self, config, ranks=1, backend="none", words=(), env=None):
        (self.work_dir / "tell.py").write_text(TELL, encoding="utf-8")
        (self.work_dir / "run.yaml").write_bytes(
            f"entry_script: tell.py\nprocess_count_per_node: {ranks}\n"
            f"distributed_backend: {backend}\n".encode() + config.encode("latin-1"))
        result = self.run_muster(["run", "run.yaml", *words], cwd=self.work_dir, env=env)
        self.assert_code(result, 0)
        return [json.loads(result.rank_bytes(rank)) for rank in range(ranks)]

    def test_text_survives_byte_for_byte(self):
        config = """script_params:
  --rate: 1.0
  --big: 007
  --yes: yes
  --words: "two words"
  --quotes: 'it''s "quoted"'
  --empty: ''
  --back: 'a\\b\\\\c'
  --shell: '; ls * | cat > x & `id` $(id) #'
  --tab: "a\\tb"
  --list: [1e-3, 0x10, '~', 'a  b']
arguments: [--last, 1.50, '* ?']
"""
        self.assertEqual(self.arguments(config), [[
            "--rate", "1.0", "--big", "007", "--yes", "yes", "--words", "two words",
            "--quotes", "it's \"quoted\"", "--empty", "", "--back", "a\\b\\\\c",
            "--shell", "; ls * | cat > x & `id` $(id) #", "--tab", "a\tb",
            "--list", "1e-3", "0x10", "~", "a  b", "--last", "1.50", "* ?"]])

    def test_each_rank_puts_in_its_own_values(self):
        config = """script_params:
  --gpu: $LOCAL_RANK
  --out: model-${RANK}-of-$WORLD_SIZE.bin
  --undefined: $UNDEFINED ${UNDEFINED}
  --value: $WORDS
  --money: 100$
arguments: ["${LOCAL_RANK}"]
environment:
  variables: {WORDS: "a  b $RANK"}
"""
        expected = [["--gpu", str(rank), "--out", f"model-{rank}-of-2.bin",
                     "--undefined", "$UNDEFINED ${UNDEFINED}", "--value", "a  b $RANK",
                     "--money", "100$", str(rank)] for rank in range(2)]
        self.assertEqual(self.arguments(config, 2, "direct"), expected)

    @muster_test.unittest.skipUnless(MPIRUN, "no Open MPI")
    def test_what_mpirun_gives_the_rank_is_known_too(self):
        config = "script_params: {--rank: $OMPI_COMM_WORLD_RANK, --local: '${OMPI_COMM_WORLD_LOCAL_RANK}'}\n"
        self.assertEqual(self.arguments(config, 2, "mpi"),
                         [["--rank", "0", "--local", "0"], ["--rank", "1", "--local", "1"]])

    def test_words_of_the_command_line_are_the_shells_that_typed_them(self):
        self.assertEqual(self.arguments("script_params: {--a: $RANK}\n", words=["--", "$RANK"]),
                         [["--a", "0", "$RANK"]])

    def test_a_command_is_the_shells(self):
        (self.work_dir / "run.yaml").write_text(
            "command: |-\n  echo \"$RANK\" '$RANK' $((RANK + 1)) \"${UNDEFINED:-none}\"\n"
            "process_count_per_node: 2\ndistributed_backend: direct\n", encoding="utf-8")
        result = self.run_muster(["run", "run.yaml"], cwd=self.work_dir)
        self.assert_code(result, 0)
        self.assertEqual([result.rank_bytes(rank) for rank in range(2)],
                         [b"0 $RANK 1 none\n", b"1 $RANK 2 none\n"])

    def test_the_plan_says_so(self):
        self.arguments("script_params: {--gpu: $LOCAL_RANK, --lr: 0.1}\n")
        plan = self.run_muster(["plan", "run.yaml"], cwd=self.work_dir)
        self.assertRegex(plan.stdout, r"arguments +\$LOCAL_RANK +each rank puts in the values")
        self.arguments("script_params: {--lr: 0.1}\n")
        plan = self.run_muster(["plan", "run.yaml"], cwd=self.work_dir)
        self.assertNotIn("each rank puts in", plan.stdout)


if __name__ == "__main__":
    muster_test.main()
