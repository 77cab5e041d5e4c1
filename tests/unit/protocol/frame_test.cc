#include "protocol/frame.h"

#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace muster::protocol {
namespace {

Frame sample(std::string payload = "payload") {
  Frame frame;
  frame.type = FrameType::kLauncherMessage;
  frame.flags = 3;
  frame.channel = 0x1234;
  frame.offset = 0x1122334455667788;
  frame.time_ns = -5;
  frame.payload = std::move(payload);
  return frame;
}

void expect_same(const Frame& got, const Frame& expected) {
  EXPECT_EQ(got.type, expected.type);
  EXPECT_EQ(got.flags, expected.flags);
  EXPECT_EQ(got.channel, expected.channel);
  EXPECT_EQ(got.offset, expected.offset);
  EXPECT_EQ(got.time_ns, expected.time_ns);
  EXPECT_TRUE(got.payload == expected.payload);
}

// The frames of `bytes`; "error: …" as a last payload when there was one.
std::vector<std::string> payloads(FrameReader& reader) {
  std::vector<std::string> found;
  while (true) {
    const auto frame = reader.next();
    if (!frame) {
      found.push_back("error: " + frame.error().message);
      return found;
    }
    if (!*frame) return found;
    found.push_back((*frame)->payload);
  }
}

TEST(FrameTest, ComesBackAsItWas) {
  for (const std::string& payload :
       {std::string(), std::string("x"), std::string(1, '\0'), std::string(1 << 20, '\xff')}) {
    FrameReader reader;
    reader.append(encode(sample(payload)));
    const auto frame = reader.next();
    ASSERT_TRUE(frame) << frame.error().message;
    ASSERT_TRUE(*frame);
    expect_same(**frame, sample(payload));
    EXPECT_TRUE(payloads(reader).empty());
  }
}

// The layout is written down in frame.h; another version of Muster must read it.
TEST(FrameTest, BytesLieWhereTheHeaderSays) {
  const std::string bytes = encode(sample("ab"));
  ASSERT_EQ(bytes.size(), kFrameHeaderSize + 2);
  const std::string head(
      "\x02\x00\x00\x00"                  // length
      "\x02\x03\x34\x12"                  // type, flags, channel
      "\x88\x77\x66\x55\x44\x33\x22\x11"  // offset
      "\xfb\xff\xff\xff\xff\xff\xff\xff"  // time
      "\x00\x00\x00\x00",                 // reserved
      28);
  EXPECT_TRUE(bytes.substr(0, 28) == head);
  EXPECT_EQ(bytes.substr(kFrameHeaderSize), "ab");
}

TEST(FrameReaderTest, ReadsTheSameWhereverTheBytesAreSplit) {
  const std::string bytes = encode(sample("first")) + encode(sample("")) + encode(sample("third"));
  const std::vector<std::string> expected = {"first", "", "third"};
  for (std::size_t split = 0; split <= bytes.size(); ++split) {
    FrameReader reader;
    reader.append(std::string_view(bytes).substr(0, split));
    std::vector<std::string> found = payloads(reader);
    reader.append(std::string_view(bytes).substr(split));
    for (std::string& payload : payloads(reader)) found.push_back(std::move(payload));
    ASSERT_EQ(found, expected) << "split at " << split;
  }
}

TEST(FrameReaderTest, ReadsByteByByte) {
  const std::string bytes = encode(sample("first")) + encode(sample("second"));
  FrameReader reader;
  std::vector<std::string> found;
  for (const char byte : bytes) {
    reader.append({&byte, 1});
    for (std::string& payload : payloads(reader)) found.push_back(std::move(payload));
  }
  EXPECT_EQ(found, (std::vector<std::string>{"first", "second"}));
}

TEST(FrameReaderTest, AnyFlippedBitIsNoticed) {
  const std::string good = encode(sample("a payload of some bytes"));
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
      FrameReader reader;
      reader.append(bad);
      const auto frame = reader.next();
      // A longer length only waits for bytes that never come; it is no frame.
      ASSERT_FALSE(frame && *frame) << "byte " << at << ", bit " << bit;
      if (at >= 4) {
        ASSERT_FALSE(frame) << "byte " << at << ", bit " << bit;
      }
    }
  }
}

TEST(FrameReaderTest, ALengthAboveTheLimitIsRefusedFromTheHeaderAlone) {
  Frame frame = sample(std::string(101, 'x'));
  const std::string header = encode(frame).substr(0, kFrameHeaderSize);
  FrameReader reader(100);
  reader.append(header);  // nothing of the payload is here, and nothing of it is waited for
  const auto read = reader.next();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().message, "a frame announces 101 bytes, at most 100 are allowed");

  FrameReader wide(101);
  wide.append(header);
  EXPECT_TRUE(wide.next());
}

TEST(FrameReaderTest, TheLargestLengthIsRefused) {
  FrameReader reader;
  reader.append(std::string(kFrameHeaderSize, '\xff'));
  EXPECT_FALSE(reader.next());
}

TEST(FrameReaderTest, AnErrorStays) {
  FrameReader reader;
  std::string bad = encode(sample("bad"));
  bad.back() = 'D';
  reader.append(bad + encode(sample("good")));
  EXPECT_FALSE(reader.next());
  EXPECT_FALSE(reader.next()) << "what follows garbage is not to be trusted";
}

TEST(FrameReaderTest, HoldsNoMoreThanWhatIsUnread) {
  // A connection of days, where the end of a read never falls on the end of a frame.
  const std::string bytes = encode(sample(std::string(1000, 'x')));
  FrameReader reader;
  reader.append(bytes.substr(0, 10));
  for (int i = 0; i < 20'000; ++i) {
    reader.append(bytes.substr(10) + bytes.substr(0, 10));
    ASSERT_EQ(payloads(reader).size(), 1U);
    ASSERT_LT(reader.buffered_bytes(), 16 * bytes.size());
  }
}

// Bytes that nobody made on purpose: the reader gives whole frames, an error or nothing, and never
// more than it was given.  The sanitizers watch.
TEST(FrameReaderTest, SurvivesRandomBytes) {
  std::mt19937 random(20261123);
  for (int round = 0; round < 3000; ++round) {
    std::string bytes;
    const auto pieces = random() % 4;
    for (unsigned piece = 0; piece < pieces; ++piece) {
      std::string part = encode(sample(std::string(random() % 64, 'p')));
      switch (random() % 4) {
        case 0: break;
        case 1: part[random() % part.size()] = static_cast<char>(random()); break;
        case 2: part.resize(random() % part.size()); break;
        default:
          for (char& byte : part) byte = static_cast<char>(random());
      }
      bytes += part;
    }
    FrameReader reader(1 << 16);
    std::size_t delivered = 0;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t step = std::min<std::size_t>(1 + random() % 40, bytes.size() - at);
      reader.append(std::string_view(bytes).substr(at, step));
      at += step;
      for (auto frame = reader.next(); frame && *frame; frame = reader.next()) {
        delivered += kFrameHeaderSize + (*frame)->payload.size();
      }
    }
    ASSERT_LE(delivered, bytes.size());
  }
}

}  // namespace
}  // namespace muster::protocol
