// Runs a kernel of a package by AMD's XRT, which shares nothing with bennu but the files.
//
//   xrt-run xclbin PACKAGE/KERNEL.xclbin PACKAGE/KERNEL.txn BUFFER...   the host passes stream and buffers, the firmware patches addresses
//   xrt-run elf    PACKAGE/KERNEL.xclbin KERNEL.elf         BUFFER...   aiebu-asm's ELF of the stream: XRT patches addresses
//
// BUFFER is BYTES, BYTES:in=FILE, BYTES:out=FILE or BYTES:out=FILE,in=FILE, in the order of the manifest. Everything runs twice in one context.
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "xrt/experimental/xrt_elf.h"
#include "xrt/experimental/xrt_ext.h"
#include "xrt/experimental/xrt_module.h"
#include "xrt/experimental/xrt_xclbin.h"
#include "xrt/xrt_bo.h"
#include "xrt/xrt_device.h"
#include "xrt/xrt_hw_context.h"
#include "xrt/xrt_kernel.h"

namespace {

constexpr unsigned opcode_transaction = 3;
constexpr int first_buffer = 3;

std::vector<char> contents(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read " + path);
    return {std::istreambuf_iterator<char>(file), {}};
}

struct Buffer {
    xrt::bo bo;
    std::string out;
};

Buffer buffer(const xrt::device& device, const std::string& text) {
    const auto colon = text.find(':');
    Buffer made{xrt::ext::bo(device, std::stoull(text.substr(0, colon))), {}};
    std::memset(made.bo.map<char*>(), 0, made.bo.size());
    std::istringstream ways(colon == std::string::npos ? "" : text.substr(colon + 1));
    for (std::string what; std::getline(ways, what, ',');) {
        if (what.rfind("in=", 0) == 0) {
            const auto bytes = contents(what.substr(3));
            if (bytes.size() > made.bo.size()) throw std::runtime_error(what + " is larger than its buffer");
            std::memcpy(made.bo.map<char*>(), bytes.data(), bytes.size());
        } else if (what.rfind("out=", 0) == 0) {
            made.out = what.substr(4);
        } else {
            throw std::runtime_error(what + " is neither in=FILE nor out=FILE");
        }
    }
    made.bo.sync(XCL_BO_SYNC_BO_TO_DEVICE);
    return made;
}

xrt::run prepared_from_stream(const xrt::device& device, const xrt::kernel& kernel, const std::string& path) {
    const auto stream = contents(path);
    xrt::bo instructions(device, stream.size(), XCL_BO_FLAGS_CACHEABLE, kernel.group_id(1));
    std::memcpy(instructions.map<char*>(), stream.data(), stream.size());
    instructions.sync(XCL_BO_SYNC_BO_TO_DEVICE);
    xrt::run run(kernel);
    run.set_arg(1, instructions);
    run.set_arg(2, static_cast<unsigned>(stream.size() / 4));
    return run;
}

xrt::run prepared_from_elf(const xrt::kernel& kernel) {
    xrt::run run(kernel);
    run.set_arg(1, 0U);
    run.set_arg(2, 0U);
    return run;
}

void work(const std::vector<std::string>& words) {
    const bool elf = words.at(0) == "elf";
    xrt::device device(0);
    const xrt::xclbin xclbin(words.at(1));
    device.register_xclbin(xclbin);
    const xrt::hw_context context(device, xclbin.get_uuid());
    const std::string name = xclbin.get_kernels().at(0).get_name();
    const xrt::kernel kernel = elf ? xrt::ext::kernel(context, xrt::module(xrt::elf(words.at(2))), name) : xrt::kernel(context, name);
    xrt::run run = elf ? prepared_from_elf(kernel) : prepared_from_stream(device, kernel, words.at(2));
    run.set_arg(0, opcode_transaction);
    std::vector<Buffer> buffers;
    for (size_t k = 3; k < words.size(); k++) {
        buffers.push_back(buffer(device, words[k]));
        run.set_arg(first_buffer + static_cast<int>(k) - 3, buffers.back().bo);
    }
    for (int call = 0; call < 2; call++) {
        run.start();
        const auto state = run.wait();
        if (state != ERT_CMD_STATE_COMPLETED) throw std::runtime_error("command ended in state " + std::to_string(state));
    }
    for (auto& made : buffers) {
        if (made.out.empty()) continue;
        made.bo.sync(XCL_BO_SYNC_BO_FROM_DEVICE);
        std::ofstream(made.out, std::ios::binary).write(made.bo.map<const char*>(), static_cast<std::streamsize>(made.bo.size()));
    }
    std::cout << name << " by XRT, " << words[0] << ": completed twice\n";
}

}  // namespace

int main(int count, char** words) {
    try {
        work({words + 1, words + count});
        return 0;
    } catch (const std::exception& error) {
        std::cerr << "error: " << error.what() << "\n";
        return 1;
    }
}
