package host

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk"
)

// lockFormat names the format of the lock file.
const lockFormat = "nnid/plugins-lock/v1"

// lockFile remembers the plugins that the user trusts: where they are, what they hash to, and what they said of
// themselves, so that they need not be run to be listed.
type lockFile struct {
	Format  string         `json:"format"`
	Plugins []lockedPlugin `json:"plugins"`
}

type lockedPlugin struct {
	Path        string          `json:"path"`
	SHA256      string          `json:"sha256"`
	Description sdk.Description `json:"description"`
}

// readLock reads the lock file; there need not be one.
func readLock(path string) (*lockFile, error) {
	lock := &lockFile{Format: lockFormat}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return lock, nil
	}
	if err != nil {
		return nil, fault.New(fault.Usage, "the list of verified plugins can't be read: %w", err)
	}
	if err := json.Unmarshal(data, lock); err != nil {
		return nil, fault.New(fault.Usage, "the list of verified plugins %s is damaged (%w); remove it and add the plugins again", path, err)
	}
	if lock.Format != lockFormat {
		return nil, fault.New(fault.Usage, "the list of verified plugins %s has the format %q, and this nnid knows %q; remove it and add the plugins again", path, lock.Format, lockFormat)
	}
	return lock, nil
}

// write replaces the file at once or not at all.
func (l *lockFile) write(path string) error {
	sort.Slice(l.Plugins, func(i, j int) bool { return l.Plugins[i].Path < l.Plugins[j].Path })
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(path, append(data, '\n'), 0o600)
}

// replaceFile writes a file so that others see the old content or the new.
func replaceFile(path string, data []byte, mode fs.FileMode) error {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(folder, "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	err = errors.Join(err, file.Chmod(mode), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name()) // the error that led here is the one to report
	}
	return err
}

// find returns the entry for a path.
func (l *lockFile) find(path string) (lockedPlugin, bool) {
	for _, plugin := range l.Plugins {
		if plugin.Path == path {
			return plugin, true
		}
	}
	return lockedPlugin{}, false
}

// put adds or replaces an entry.
func (l *lockFile) put(plugin lockedPlugin) {
	for k := range l.Plugins {
		if l.Plugins[k].Path == plugin.Path {
			l.Plugins[k] = plugin
			return
		}
	}
	l.Plugins = append(l.Plugins, plugin)
}

// checksum hashes a file.
func checksum(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// mismatch is the error for a plugin that is not the one which was verified.
func mismatch(path, want, got string) error {
	return fault.New(fault.Plugin, "the plugin %s is not the one that was verified: its SHA-256 is %s and should be %s; if you have replaced it yourself, run: nnid plugins add %s", path, got, want, path)
}
