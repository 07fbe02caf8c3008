package npy

import (
	"archive/zip"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/nnid/nnid/core/fault"
)

const (
	largestMembers = 1 << 10
	// largestArchive bounds the bytes of all members, which compression can make look small.
	largestArchive = 1 << 29
)

// ReadArchive reads an archive of arrays (.npz), by their names: those of the wanted names, all others stay unread. The names of
// all are in the second result, sorted. Errors are usage faults that name the array.
func ReadArchive(r io.ReaderAt, size int64, wanted func(name string) bool) (map[string]*Array, []string, error) {
	return readArchive(r, size, wanted, largestArchive)
}

// readArchive reads at most left bytes of members.
func readArchive(r io.ReaderAt, size int64, wanted func(name string) bool, left int64) (map[string]*Array, []string, error) {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return nil, nil, fault.New(fault.Usage, "the file is not a NumPy archive (.npz): %w", err)
	}
	if len(archive.File) > largestMembers {
		return nil, nil, fault.New(fault.Usage, "the NumPy archive has %d members; %d is the most that is read", len(archive.File), largestMembers)
	}
	arrays := map[string]*Array{}
	var names []string
	for _, file := range archive.File {
		name, ok := strings.CutSuffix(file.Name, ".npy")
		if !ok {
			continue
		}
		names = append(names, name)
		if !wanted(name) {
			continue
		}
		if _, twice := arrays[name]; twice {
			return nil, nil, fault.New(fault.Usage, "the NumPy archive has two arrays %q", name)
		}
		content, err := file.Open()
		if err != nil {
			return nil, nil, fault.New(fault.Usage, "the array %q of the archive can't be read: %w", name, err)
		}
		limited := &io.LimitedReader{R: content, N: left}
		array, err := Read(limited)
		_ = content.Close() // it was only read
		if limited.N <= 0 {
			return nil, nil, fault.New(fault.Usage, "the NumPy archive has more bytes than are read, %d", largestArchive)
		}
		if err != nil {
			return nil, nil, fault.New(fault.Usage, "the array %q of the archive: %w", name, err)
		}
		arrays[name], left = array, limited.N
	}
	slices.Sort(names)
	return arrays, names, nil
}

// Member is an array of an archive with its name.
type Member struct {
	Name  string
	Array *Array
}

// WriteArchive writes an archive of arrays (.npz), uncompressed as numpy.savez does. The same arrays give the same bytes.
func WriteArchive(w io.Writer, members []Member) error {
	archive := zip.NewWriter(w)
	for _, m := range members {
		file, err := archive.CreateHeader(&zip.FileHeader{Name: m.Name + ".npy", Method: zip.Store})
		if err == nil {
			err = Write(file, m.Array)
		}
		if err != nil {
			return fmt.Errorf("the array %q can't be written: %w", m.Name, err)
		}
	}
	return archive.Close()
}
