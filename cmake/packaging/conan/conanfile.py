"""attn for Conan 2: `conan create cmake/packaging/conan` in a checkout."""

import os
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy, load

required_conan_version = ">=2.1"


class AttnConan(ConanFile):
    name = "attn"
    description = "Attention with pluggable activations, and transformers built from it, on Kokkos"
    license = "Apache-2.0"
    homepage = "https://arxiv.org/abs/2410.18613"
    topics = ("attention", "transformers", "kokkos", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    no_copy_source = True

    @property
    def checkout(self):
        return os.path.join(self.recipe_folder, "..", "..", "..")

    def set_version(self):
        text = load(self, os.path.join(self.checkout, "include", "attn", "version.hpp"))
        self.version = ".".join(re.search(f"ATTN_VERSION_{part} ([0-9]+)", text).group(1) for part in ("MAJOR", "MINOR", "PATCH"))

    def export_sources(self):
        copy(self, "LICENSE", self.checkout, self.export_sources_folder)
        copy(self, "*.hpp", os.path.join(self.checkout, "include"), os.path.join(self.export_sources_folder, "include"))

    def requirements(self):
        self.requires("kokkos/[>=5.1 <6]", transitive_headers=True, transitive_libs=True)

    def validate(self):
        check_min_cppstd(self, 20)

    def package_id(self):
        self.info.clear()

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        copy(self, "*.hpp", os.path.join(self.source_folder, "include"), os.path.join(self.package_folder, "include"))

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "attn")
        attn, native = self.cpp_info.components["attn"], self.cpp_info.components["native"]
        attn.set_property("cmake_target_name", "attn::attn")
        attn.requires = ["kokkos::kokkos"]
        if self.settings.os in ["Linux", "FreeBSD"]:
            attn.system_libs = ["pthread"]
        native.set_property("cmake_target_name", "attn::native")
        native.includedirs = []
        if self.settings.compiler in ["gcc", "clang"]:
            native.cxxflags = ["-march=native", "-fno-math-errno", "-ffp-contract=fast"]
        for component in (attn, native):
            component.bindirs = []
            component.libdirs = []
