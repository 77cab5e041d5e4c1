#include "launcher/exec/last_words.h"

#include <gtest/gtest.h>

namespace muster::exec {
namespace {

constexpr const char* kTraceback =
    "Traceback (most recent call last):\n"
    "  File \"train.py\", line 41, in <module>\n"
    "    step()\n";

std::string library(const std::string& words, int code = 1) {
  const auto found = missing_library(words, ExitStatus::exited(code));
  return found ? found->text : "";
}

std::string room(const std::string& words) {
  const auto found = lack_of_room(words);
  return found ? found->text : "";
}

TEST(PythonExceptionTest, IsTheLineThatEndsTheLastTraceback) {
  EXPECT_EQ(python_exception("step 1\n" + std::string(kTraceback) + "ValueError: loss is nan\n"),
            "ValueError: loss is nan");
  EXPECT_EQ(python_exception(std::string(kTraceback) +
                             "KeyError: 'x'\n\nDuring handling of the "
                             "above exception, another exception occurred:\n\n" +
                             kTraceback + "torch.cuda.OutOfMemoryError: CUDA out of memory\n"),
            "torch.cuda.OutOfMemoryError: CUDA out of memory");
  EXPECT_EQ(python_exception(std::string(kTraceback) + "KeyboardInterrupt\n"), "KeyboardInterrupt");
}

TEST(PythonExceptionTest, ASyntaxErrorHasNoTraceback) {
  EXPECT_EQ(python_exception("  File \"train.py\", line 3\n    for\n       ^\nSyntaxError: invalid "
                             "syntax\n"),
            "SyntaxError: invalid syntax");
}

TEST(PythonExceptionTest, WhatTheProgramGotOverIsNoReason) {
  std::string later;
  for (int step = 0; step < 10; ++step) later += "step " + std::to_string(step) + "\n";
  EXPECT_EQ(python_exception(std::string(kTraceback) + "ValueError: skipped\n" + later),
            std::nullopt);
  EXPECT_EQ(python_exception(std::string(kTraceback) + "what follows is a sentence\n"),
            std::nullopt);
  EXPECT_EQ(python_exception(kTraceback), std::nullopt) << "cut off";
  EXPECT_EQ(python_exception(""), std::nullopt);
  EXPECT_EQ(python_exception("Error: x\n"), std::nullopt);
}

TEST(PythonExceptionTest, IsCutBetweenLetters) {
  std::string message;
  for (int i = 0; i < 400; ++i) message += "é";
  const auto found = python_exception(std::string(kTraceback) + "ValueError: " + message + "\n");
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->ends_with("é…"));
  EXPECT_LT(found->size(), 320U);
}

TEST(MissingLibraryTest, OfTheDynamicLoader) {
  EXPECT_EQ(library("./train: error while loading shared libraries: libcudart.so.12: cannot open "
                    "shared object file: No such file or directory\n",
                    127),
            "the shared library libcudart.so.12 could not be loaded: No such file or directory");
  EXPECT_EQ(library("./train: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found "
                    "(required by ./train)\n"),
            "the shared library /lib/x86_64-linux-gnu/libc.so.6 is too old: it has no GLIBC_2.38");
}

TEST(MissingLibraryTest, OfAnImport) {
  EXPECT_EQ(library(std::string(kTraceback) + "ImportError: libcudnn.so.8: cannot open shared "
                                              "object file: No such file or directory\n"),
            "the shared library libcudnn.so.8 could not be loaded: No such file or directory");
}

TEST(MissingLibraryTest, AWarningIsNoReason) {
  EXPECT_EQ(library("W dso_loader.cc:64] Could not load dynamic library 'libcudart.so.11.0'; "
                    "dlerror: libcudart.so.11.0: cannot open shared object file: No such file or "
                    "directory\n"),
            "");
  EXPECT_EQ(library("libx.so: cannot open shared object file: No\n" + std::string(kTraceback) +
                    "ValueError: loss is nan\n"),
            "");
  EXPECT_EQ(library(""), "");
}

TEST(LackOfRoomTest, OfADiskOrAQuota) {
  EXPECT_EQ(room(std::string(kTraceback) + "OSError: [Errno 28] No space left on device: 'a'\n"),
            "a write failed because a disk was full: OSError: [Errno 28] No space left on device: "
            "'a'");
  EXPECT_EQ(room("cp: error writing 'b': Disk quota exceeded\n"),
            "a write failed because a quota was full: cp: error writing 'b': Disk quota exceeded");
}

TEST(LackOfRoomTest, OfInotifyIsSomethingElse) {
  EXPECT_EQ(room("OSError: inotify watch limit reached: No space left on device\n"), "");
  EXPECT_EQ(room("all is well\n"), "");
}

}  // namespace
}  // namespace muster::exec
