"""A node that lacks source_directory gets the head's copy."""

import os
import socket

import muster_test


class SourceTravelTest(muster_test.MusterTest):
    def test_nodes_without_the_source_run_the_heads(self):
        token = self.directory / "token"
        self.assert_code(self.run_muster(["token", "--output", token]), 0)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        places = [self.directory / f"node-{rank}" for rank in range(3)]
        for place in places:
            place.mkdir()
        source = places[0] / "code"
        (source / "lib").mkdir(parents=True)
        (source / "lib/large").write_bytes(os.urandom((3 << 20) + 5))
        (source / "train.sh").write_text(
            "#!/bin/sh\ncksum < lib/large\n./linked.sh\necho $RANK > outputs/of-$RANK\n")
        (source / "train.sh").chmod(0o755)
        (source / "hello.sh").write_text("#!/bin/sh\necho hello\n")
        (source / "hello.sh").chmod(0o755)
        (source / "linked.sh").symlink_to("hello.sh")
        for place in places:
            (place / "run.yaml").write_text(
                "command: ./train.sh\nsource_directory: code\nin_place: false\n"
                "process_count_per_node: 1\ndistributed_backend: direct\n")
        launchers = [self.start_muster(
            ["run", "run.yaml", "--nodes", "3", "--node-rank", str(rank), "--rendezvous",
             f"127.0.0.1:{port}", "--token-file", token], cwd=place)
            for rank, place in enumerate(places)]
        results = [each.wait(120) for each in launchers]
        for result in results:
            self.assert_code(result, 0)
        run = results[0].run_directory
        said = [(run / f"ranks/{rank:05}/attempt-0/stdout.log").read_text() for rank in range(3)]
        self.assertTrue(said[0].endswith("hello\n"), said)
        self.assertEqual(said, said[:1] * 3)
        self.assertEqual(sorted(path.name for path in (run / "outputs").iterdir()),
                         ["of-0", "of-1", "of-2"])

    def test_the_head_needs_it(self):
        token = self.directory / "token"
        self.assert_code(self.run_muster(["token", "--output", token]), 0)
        config = self.directory / "run.yaml"
        config.write_text("command: ./train.sh\nsource_directory: code\nin_place: false\n"
                          "process_count_per_node: 1\ndistributed_backend: direct\n")
        result = self.run_muster(["run", config, "--nodes", "2", "--node-rank", "0", "--rendezvous",
                                  "127.0.0.1:0", "--token-file", token])
        self.assertIn("code", result.stderr)
        self.assert_code(result, 65)


if __name__ == "__main__":
    muster_test.main()
