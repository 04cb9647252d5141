package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/seed3893aba4/surestart/internal/leakcheck"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A server is a PostgreSQL of the test's own, which listens on the loopback.
type server struct {
	bin, data, addr string
	as              *syscall.Credential // it refuses to run as root
	cmd             *exec.Cmd           // nil: stopped
}

// newServer makes the files of one and starts it not. Debian keeps the programs apart from PATH.
func newServer(t *testing.T) *server {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if path, err := exec.LookPath("initdb"); err == nil && found == nil {
		found = append(found, path)
	}
	if len(found) == 0 {
		testbroker.Missing(t, "PostgreSQL's initdb, as Debian's package postgresql has it")
	}
	s := &server{bin: filepath.Dir(found[len(found)-1])}
	parent, err := os.MkdirTemp("", "postgres") // unlike t.TempDir's parent, which is ours alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	if os.Geteuid() == 0 {
		nobody, err := user.Lookup("nobody")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(nobody.Uid)
		gid, _ := strconv.Atoi(nobody.Gid)
		s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(parent, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	s.data = filepath.Join(parent, "data")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = free.Addr().String()
	free.Close()
	if out, err := s.command("initdb", "-D", s.data, "-U", "test", "-A", "trust", "-E", "UTF8", "--no-locale", "-N").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	t.Cleanup(func() { s.stop(t) })
	return s
}

func (s *server) dsn() string {
	return "postgres://test@" + s.addr + "/postgres?sslmode=disable&connect_timeout=30"
}

func (s *server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = filepath.Dir(s.data)
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	return cmd
}

// start returns when the server accepts clients.
func (s *server) start(t *testing.T) {
	t.Helper()
	_, port, _ := net.SplitHostPort(s.addr)
	s.cmd = s.command("postgres", "-D", s.data, "-h", "127.0.0.1", "-p", port, "-c", "unix_socket_directories=", "-F")
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	leakcheck.Eventually(t, "PostgreSQL is up", func() string {
		out, err := s.command("pg_isready", "-q", "-h", "127.0.0.1", "-p", port).CombinedOutput()
		if err != nil {
			return fmt.Sprintf("pg_isready: %v %s", err, out)
		}
		return ""
	})
}

func (s *server) stop(t *testing.T) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Signal(syscall.SIGINT) // its fast shutdown: clients are cut off
	if err := s.cmd.Wait(); err != nil {
		t.Logf("PostgreSQL: %v", err)
	}
	s.cmd = nil
}
