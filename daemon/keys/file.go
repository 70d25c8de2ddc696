package keys

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"fleettop/units/atomicfile"
	"fleettop/units/safefile"
)

// DefaultFile is where a machine keeps the cluster's key.
const DefaultFile = "/etc/fleettop/key"

// maxFile is the most bytes of a key file.
const maxFile = 64 << 10

// Load reads a key file. It refuses one that others than its owner can read,
// and returns an error wrapping fs.ErrNotExist where there is none.
func Load(path string) (Ring, error) {
	f, err := safefile.Open(path)
	if err != nil {
		return Ring{}, fmt.Errorf("read the cluster key: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return Ring{}, fmt.Errorf("read the cluster key: %w", err)
	}
	if mode := st.Mode().Perm(); mode&0o077 != 0 {
		return Ring{}, fmt.Errorf("the cluster key %s can be read by others than its owner (mode %04o): "+
			"chmod 600 it, and rotate the key if another user may have read it", path, mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return Ring{}, fmt.Errorf("read the cluster key %s: %w", path, err)
	}
	r, err := Parse(text)
	if err != nil {
		return Ring{}, fmt.Errorf("the cluster key %s: %w", path, err)
	}
	return r, nil
}

// Create writes a new key file, mode 0600, and refuses to replace one.
func (r Ring) Create(path string) error {
	temp, err := r.stage(path)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: run as root, or choose another file with --key-file", err)
	}
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	// Unlike a rename, a link fails if somebody else's file is there.
	if err := os.Link(temp, path); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already and may be a cluster's only key: it was left alone; "+
			"choose another file with --key-file, or rotate keys with `fleettop key rotate`", path)
	} else if err != nil {
		return fmt.Errorf("write the cluster key: %w", err)
	}
	return nil
}

// Save writes a key file, mode 0600, in place of the one that is there.
func (r Ring) Save(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write the cluster key: %w", err)
	}
	if err := atomicfile.Write(path, r.Text(), 0o600); err != nil {
		return fmt.Errorf("write the cluster key: %w", err)
	}
	return nil
}

// PutAside moves a key file away, to a name beside it that says which key it is
// and that nothing has yet. It returns that name.
func PutAside(path string) (string, error) {
	beside, err := aside(path)
	if err == nil {
		err = os.Rename(path, beside)
	}
	if err != nil {
		return "", fmt.Errorf("put the cluster key aside: %w", err)
	}
	return beside, nil
}

// CopyAside leaves a copy of a key file beside it, by the name that PutAside
// would give it.
func CopyAside(path string) (string, error) {
	beside, err := aside(path)
	if err == nil {
		err = os.Link(path, beside)
	}
	if err != nil {
		return "", fmt.Errorf("keep the cluster key that is there: %w", err)
	}
	return beside, nil
}

// aside names a file beside a key file, which must be there.
func aside(path string) (string, error) {
	if _, err := os.Lstat(path); err != nil {
		return "", err
	}
	name := path + ".old"
	if r, err := Load(path); err == nil {
		name = path + "." + r.Primary().ID()
	}
	for n := 0; ; n++ {
		free := name
		if n > 0 {
			free = fmt.Sprintf("%s-%d", name, n)
		}
		if _, err := os.Lstat(free); errors.Is(err, fs.ErrNotExist) {
			return free, nil
		} else if err != nil {
			return "", err
		}
	}
}

// stage writes the ring to a file beside path, down to the disk.
func (r Ring) stage(path string) (string, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("write the cluster key: %w", err)
	}
	f, err := os.CreateTemp(dir, ".key-*.new") // mode 0600
	if err != nil {
		return "", fmt.Errorf("write the cluster key: %w", err)
	}
	_, err = f.Write(r.Text())
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("write the cluster key: %w", err), os.Remove(f.Name()))
	}
	return f.Name(), nil
}
