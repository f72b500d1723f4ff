# The addon golgi.node: one static library of kernels per ISA, one of what is common, and the layer to Node-API.
{
  "target_defaults": {
    "default_configuration": "Release",
    "cflags": ["-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra"],
    "cflags!": ["-Wno-unused-parameter"],
    "xcode_settings": {
      "MACOSX_DEPLOYMENT_TARGET": "13.0",
      "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
      "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
    },
    "msvs_settings": {"VCCLCompilerTool": {"AdditionalOptions": ["/std:c++20"]}},
  },
  "targets": [
    {
      "target_name": "golgi",
      "sources": [
        "src/addon.cpp",
        "src/addon_engine.cpp",
        "src/addon_file.cpp",
        "src/addon_values.cpp",
        "src/probe_addon.cpp",
        "src/run_task.cpp",
        "src/step_thread.cpp",
      ],
      # The linker keeps the first of several copies of an inline function: the plainest ISA must come first.
      "dependencies": [
        "<!(node -p \"require('node-addon-api').targets\"):node_addon_api_except",
        "golgi_common",
        "golgi_portable",
      ],
      "conditions": [
        ["target_arch == 'x64'", {"dependencies": ["golgi_avx2", "golgi_avx512"]}],
        ["target_arch == 'arm64'", {"dependencies": ["golgi_neon"]}],
      ],
      "defines": ["NAPI_VERSION=9"],
      "msvs_settings": {"VCCLCompilerTool": {"ExceptionHandling": 1}},
    },
    {
      "target_name": "golgi_common",
      "type": "static_library",
      "sources": [
        "src/cache_pages.cpp",
        "src/cpu.cpp",
        "src/engine.cpp",
        "src/frame.cpp",
        "src/mapped_file.cpp",
        "src/memory.cpp",
        "src/pool.cpp",
        "src/probe.cpp",
        "src/probe_arm64.cpp",
        "src/probe_x86.cpp",
        "src/program.cpp",
        "src/step.cpp",
        "src/weights.cpp",
      ],
      "includes": ["exceptions.gypi"],
    },
    {
      "target_name": "golgi_portable",
      "type": "static_library",
      "defines": ["GOLGI_ISA=portable"],
      "sources": ["generated/kernels.cpp"],
      "includes": ["kernels.gypi"],
    },
  ],
  "conditions": [
    ["target_arch == 'x64'", {
      "targets": [
        {
          "target_name": "golgi_avx2",
          "type": "static_library",
          "defines": ["GOLGI_ISA=avx2"],
          "sources": ["generated/kernels.cpp"],
          "cflags": ["-mavx2", "-mfma", "-mf16c"],
          "xcode_settings": {"OTHER_CPLUSPLUSFLAGS": ["-mavx2", "-mfma", "-mf16c"]},
          "msvs_settings": {"VCCLCompilerTool": {"AdditionalOptions": ["/arch:AVX2"]}},
          "includes": ["kernels.gypi"],
        },
        {
          "target_name": "golgi_avx512",
          "type": "static_library",
          "defines": ["GOLGI_ISA=avx512"],
          "sources": ["generated/kernels.cpp"],
          "cflags": ["-mavx2", "-mfma", "-mf16c", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq"],
          "xcode_settings": {
            "OTHER_CPLUSPLUSFLAGS": [
              "-mavx2", "-mfma", "-mf16c", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq",
            ],
          },
          "msvs_settings": {"VCCLCompilerTool": {"AdditionalOptions": ["/arch:AVX512"]}},
          "includes": ["kernels.gypi"],
        },
      ],
    }],
    ["target_arch == 'arm64'", {
      "targets": [
        {
          "target_name": "golgi_neon",
          "type": "static_library",
          "defines": ["GOLGI_ISA=neon"],
          "sources": ["generated/kernels.cpp"],
          "includes": ["kernels.gypi"],
        },
      ],
    }],
  ],
}
