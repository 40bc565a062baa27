//! An allocator that holds the plugin to what it allocated. The system's does not look; the one of the module stops the
//! VM.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    io::{self, Write},
};

struct Strict;

#[global_allocator]
static STRICT: Strict = Strict;

/// So many bytes before an allocation hold its size. Their number keeps the alignment.
fn before(layout: Layout) -> usize {
    layout.align().max(align_of::<usize>())
}

/// An allocation with its size before it; `None` where there cannot be one.
fn outer(layout: Layout) -> Option<Layout> {
    let before = before(layout);
    Layout::from_size_align(layout.size().checked_add(before)?, before).ok()
}

#[expect(clippy::cast_ptr_alignment, reason = "`outer` aligns at least as a size has to be")]
// SAFETY: what is handed out lies in an allocation of the system's, behind its size, and is aligned as asked for.
unsafe impl GlobalAlloc for Strict {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(outer) = outer(layout) else {
            return std::ptr::null_mut();
        };
        // SAFETY: the layout is not empty, and holds a size at its beginning.
        unsafe {
            let start = System.alloc(outer);
            if start.is_null() {
                return start;
            }
            start.cast::<usize>().write(layout.size());
            start.add(before(layout))
        }
    }

    unsafe fn dealloc(&self, data: *mut u8, layout: Layout) {
        // SAFETY: `alloc` made it; with another alignment the size would be elsewhere, and wrong.
        unsafe {
            let start = data.sub(before(layout));
            let size = start.cast::<usize>().read();
            match outer(layout) {
                Some(outer) if size == layout.size() => System.dealloc(start, outer),
                _ => {
                    // Not by `eprintln!`, which a test captures and an abort loses.
                    let _ = writeln!(io::stderr(), "{size} bytes given back as {layout:?}");
                    std::process::abort();
                }
            }
        }
    }
}
