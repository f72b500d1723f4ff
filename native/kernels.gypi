# Arithmetic happens as it is written: no contraction into fused operations, which would depend on what surrounds an
# expression. Without errno and traps no result changes, only more loops can be vectorised.
{
  "cflags": ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"],
  "xcode_settings": {"OTHER_CPLUSPLUSFLAGS": ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]},
  "msvs_settings": {"VCCLCompilerTool": {"FloatingPointModel": 0, "AdditionalOptions": ["/Zc:__cplusplus"]}},
}
