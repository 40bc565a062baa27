//! The certificates that a command is to trust: what its machine trusts already, and the CA of this run.
//!
//! Written once into the private folder of the run. The system's own store is never touched.

use std::fs;
use std::io;
use std::path::Path;

use super::environment::Trust;
use super::java;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// Writes the bundle and what is made of it into `folder`.
///
/// # Errors
/// What the system says; a file of roots that holds none.
pub(crate) fn write(folder: &Path, roots: &Path, authority: &str) -> io::Result<Trust> {
    let mut pem =
        fs::read_to_string(roots).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", roots.display())))?;
    if !pem.contains(BEGIN) {
        return Err(io::Error::other(format!("{} holds no certificate in PEM", roots.display())));
    }
    if !pem.ends_with('\n') {
        pem.push('\n');
    }
    pem.push_str(authority);
    let trust = Trust {
        bundle: folder.join("ca-bundle.pem"),
        wgetrc: folder.join("wgetrc"),
        java: folder.join("truststore.jks"),
    };
    fs::write(&trust.bundle, &pem)?;
    let wgetrc = fs::read_to_string("/etc/wgetrc").unwrap_or_default();
    fs::write(&trust.wgetrc, format!("{wgetrc}\nca_certificate = {}\n", trust.bundle.display()))?;
    fs::write(&trust.java, java::trust_store(&pem))?;
    Ok(trust)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_holds_both() {
        let folder = std::env::temp_dir().join(format!("weir-bundle-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let roots = folder.join("roots.pem");
        fs::write(&roots, "").unwrap();
        write(&folder, &roots, "ours\n").unwrap_err();
        fs::write(&roots, format!("{BEGIN}\nYQ==\n-----END CERTIFICATE-----")).unwrap();
        let trust = write(&folder, &roots, "ours\n").unwrap();
        let bundle = fs::read_to_string(trust.bundle).unwrap();
        assert!(bundle.starts_with(BEGIN) && bundle.ends_with("-----\nours\n"), "{bundle}");
        assert!(fs::read_to_string(trust.wgetrc).unwrap().contains("ca_certificate = /"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
