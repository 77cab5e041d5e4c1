#include "base/xml_text.h"

#include <gtest/gtest.h>

namespace muster {
namespace {

TEST(XmlText, EscapesWhatEndsTextAndAttributes) {
  EXPECT_EQ(xml_escaped(R"(<a b="1">&amp;)"), "&lt;a b=&quot;1&quot;&gt;&amp;amp;");
  EXPECT_EQ(xml_escaped("rank 3, GPU 0–1"), "rank 3, GPU 0–1");
}

}  // namespace
}  // namespace muster
