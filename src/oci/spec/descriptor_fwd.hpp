#pragma once

namespace cobuild::oci {
struct Descriptor;
}
