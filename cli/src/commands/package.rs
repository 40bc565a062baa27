//! `weir package`: the plugin as an OCI image layout, from which Istio's agent and any registry take it.
//!
//! No Docker and no network: it writes files, and pushing them is left to the tools that people have for it.

mod image;
mod layout;

use std::env;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use weir_envoy::Plugin;

use crate::console::exit::Exit;
use crate::console::terminal::{FAINT, GOOD, STRONG, data, mistake, paint, words};
use crate::proxy;
use image::{About, Image, Images};

const EXAMPLES: &str = "\
Examples:
  weir package                                      writes dist/weir-oci
  weir package --module weir.wasm --output oci      packages another module
  weir package --json                               prints the digests for a script

  skopeo copy --preserve-digests oci:dist/weir-oci:VERSION docker://REGISTRY/weir:VERSION
  oras cp --from-oci-layout dist/weir-oci:VERSION REGISTRY/weir:VERSION

VERSION is an ordinary image with one layer, which holds plugin.wasm. VERSION-artifact is the module as an artifact, \
for registries and tools that prefer those. Istio takes either. The same module gives the same bytes everywhere.

Exit code: 0 written, 1 not written, 2 a mistake in the command line.";

/// Write the plugin as an OCI image layout, dist/weir-oci, ready to push for Istio
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Package {
    /// Folder to write; an image layout in it is replaced [default: dist/weir-oci]
    #[arg(long, short, value_name = "DIR", alias = "out")]
    output: Option<PathBuf>,
    /// Module to package [default: `WEIR_PLUGIN`, or else the one in this binary]
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// URL of the sources, for the annotation `org.opencontainers.image.source`
    #[arg(long, value_name = "URL", value_parser = url)]
    source: Option<String>,
    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
}

fn url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !text.contains(char::is_whitespace) => Ok(text.to_owned()),
        _ => Err("a URL that begins with https:// is needed".into()),
    }
}

impl Package {
    pub(crate) fn run(&self) -> Exit {
        match self.write() {
            Ok(written) if self.json => written.print_json(),
            Ok(written) => written.print(),
            Err(error) => {
                mistake(error);
                return Exit::Failure;
            }
        }
        Exit::Success
    }

    fn write(&self) -> Result<Written, String> {
        let module = match &self.module {
            Some(path) => Plugin::at(path),
            None => proxy::plugin(),
        };
        let module = module.map_err(|error| error.to_string())?;
        let (path, module) = (module.path(), module.bytes());
        // Magic number and version 1 of a core module (WebAssembly Core Specification 5.5.16).
        if !module.starts_with(b"\0asm\x01\0\0\0") {
            return Err(format!("{} is not a WebAssembly module", path.unwrap_or(Path::new("the plugin")).display()));
        }
        let images = Images::of(module, &self.about()).map_err(|error| format!("packing the module: {error}"))?;
        let folder = self.output.clone().unwrap_or_else(|| PathBuf::from("dist/weir-oci"));
        let manifests = [&images.compat.descriptor, &images.artifact.descriptor];
        layout::write(&folder, TITLE, &manifests, &images.blobs).map_err(|error| error.to_string())?;
        Ok(Written {
            folder,
            module: path.map(Path::to_owned),
            size: module.len(),
            sha256: image::sha256(module),
            images,
        })
    }

    fn about(&self) -> About {
        let repository = Some(env!("CARGO_PKG_REPOSITORY")).filter(|url| !url.is_empty()).map(str::to_owned);
        About {
            title: TITLE,
            description: env!("CARGO_PKG_DESCRIPTION"),
            licenses: env!("CARGO_PKG_LICENSE"),
            version: env!("CARGO_PKG_VERSION"),
            source: self.source.clone().or(repository),
        }
    }
}

const TITLE: &str = "weir";

/// What was written, and of what.
struct Written {
    folder: PathBuf,
    module: Option<PathBuf>,
    size: usize,
    sha256: String,
    images: Images,
}

impl Written {
    fn print_json(&self) {
        let image = |image: &Image| {
            json!({
                "variant": image.variant,
                "tag": image.tag,
                "digest": format!("sha256:{}", image.digest),
            })
        };
        data(json!({
            "layout": self.folder,
            "module": { "path": self.module, "size": self.size, "sha256": self.sha256 },
            "images": [image(&self.images.compat), image(&self.images.artifact)],
        }));
    }

    fn print(&self) {
        let line = |name: &str, text: &str| data(format_args!("  {} {text}", paint(FAINT, format_args!("{name:8}"))));
        let here = env::current_dir().ok().and_then(|here| self.folder.strip_prefix(here).ok());
        let folder = here.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(&self.folder).display();
        let (compat, artifact) = (&self.images.compat, &self.images.artifact);
        data(paint(STRONG, &folder));
        line("module", &format!("{} bytes, sha256 {}", self.size, self.sha256));
        line("compat", &format!("{} sha256:{}", compat.tag, compat.digest));
        line("artifact", &format!("{} sha256:{}", artifact.tag, artifact.digest));
        let tag = &compat.tag;
        words(format_args!(
            "{} push it by one of these; REGISTRY is yours, {} for the artifact:",
            paint(GOOD, "next:"),
            artifact.tag
        ));
        words(format_args!("  skopeo copy --preserve-digests oci:{folder}:{tag} docker://REGISTRY/weir:{tag}"));
        words(format_args!("  oras cp --from-oci-layout {folder}:{tag} REGISTRY/weir:{tag}"));
        words("then, in a WasmPlugin; of an image, Istio compares sha256 with the digest of the manifest:");
        words(format_args!("  url: oci://REGISTRY/weir:{tag}"));
        words(format_args!("  sha256: {}", compat.digest));
    }
}
