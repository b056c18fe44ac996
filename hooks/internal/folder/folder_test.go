package folder_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/outcry-mqtt/outcry/hooks/internal/folder"
)

func TestSync(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := folder.Sync(dir); err != nil {
		t.Error(err)
	}
	if err := folder.Sync(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing folder: %v", err)
	}
}
