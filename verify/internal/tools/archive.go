package tools

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/seed3893aba4/surestart/verify/internal/filelock"
)

// Archive returns the options with which a JVM loads the classes of a program from an archive. The
// JVM then starts with less work. The archive is made once on a machine: train runs the program
// with the option that it receives. The JVM ignores an archive that fits neither it nor the
// classpath.
//
// Without an archive everything works, more slowly. So only the end of ctx is an error. Archive
// writes to log why there is none.
func Archive(ctx context.Context, log io.Writer, program, classpath string, train func(option string) error) (options []string, err error) {
	file, err := archive(ctx, log, program, classpath, train)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		say(log, "no archive of the classes of %s: %v", program, err)
		return nil, nil
	}
	return []string{"-XX:SharedArchiveFile=" + file, "-Xlog:disable", "-Xlog:all=error:stderr"}, nil
}

func archive(ctx context.Context, log io.Writer, program, classpath string, train func(option string) error) (file string, err error) {
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(cache, 0o777); err != nil {
		return "", err
	}
	java, err := exec.LookPath("java")
	if err != nil {
		return "", err
	}
	version, err := os.Stat(java)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Append(nil, classpath, " ", java, " ", version.ModTime().UnixNano()))
	file = filepath.Join(cache, program+"-"+hex.EncodeToString(sum[:])[:12]+".jsa")
	there := func() bool {
		info, err := os.Stat(file)
		return err == nil && info.Size() > 0
	}
	if there() {
		return file, nil
	}
	unlock, err := filelock.Lock(ctx, file+".lock", nil)
	if err != nil {
		return "", err
	}
	defer unlock()
	if there() { // made by another run meanwhile
		return file, nil
	}
	say(log, "preparing an archive of the classes of %s, once", program)
	making := file + ".new" // a JVM that is interrupted leaves a part
	defer os.Remove(making)
	if err := train("-XX:ArchiveClassesAtExit=" + making); err != nil {
		return "", err
	}
	return file, os.Rename(making, file)
}
