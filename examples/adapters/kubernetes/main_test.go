package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/left"
	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/producer"
)

// TestMain runs the program itself where a test has started this binary for that.
func TestMain(m *testing.M) {
	if os.Getenv("RUN_THE_PROGRAM") == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

// serving runs the program in this process and returns its address, what ends it, and
// how it ended.
func serving(t *testing.T, c config) (addr string, end func(), ended chan error) {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	t.Cleanup(end)
	listening := make(chan net.Addr, 1)
	ended = make(chan error, 1)
	go func() { ended <- run(ctx, c, func(a net.Addr) { listening <- a }) }()
	select {
	case a := <-listening:
		return a.String(), end, ended
	case err := <-ended:
		t.Fatal(err)
		return
	}
}

func ask(t *testing.T, method, url string) (status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader("an order"))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Errorf("%s %s: %v", method, url, err)
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

func nothingLeft(t *testing.T, addrs ...string) {
	t.Helper()
	left.Nothing(t, addrs, []string{"segmentio/kafka-go", "surestart/producer", "net/http.(*Server)", "net/http.(*conn)"})
}

// It lives while the cluster is away, is not ready, and refuses what could not be
// sent; once the cluster is there it becomes ready by itself.
func TestProbes(t *testing.T) {
	b := testbroker.Fake(t)
	topic := b.CreateTopic(t, 1)
	b.Net.Kill(0)
	addr, end, ended := serving(t, config{"127.0.0.1:0", b.Addrs[0], topic, 5 * time.Second, 15 * time.Second})
	for _, want := range []struct {
		method, path string
		status       int
	}{{"GET", "/livez", 200}, {"GET", "/readyz", 503}, {"POST", "/orders", 503}} {
		if got := ask(t, want.method, "http://"+addr+want.path); got != want.status {
			t.Errorf("the cluster is away: %s answers %d; want %d", want.path, got, want.status)
		}
	}
	b.Net.Revive(0)
	left.Eventually(t, "it is ready", func() string {
		if got := ask(t, "GET", "http://"+addr+"/readyz"); got != 200 {
			return fmt.Sprint(got)
		}
		return ""
	})
	if got := ask(t, "POST", "http://"+addr+"/orders"); got != 202 {
		t.Errorf("an order is answered with %d", got)
	}
	if n := len(b.Read(t, topic)); n != 1 {
		t.Errorf("%d records; want the one order that was accepted", n)
	}
	end()
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
	nothingLeft(t, addr, b.Addrs[0])
}

// SIGTERM, as Kubernetes sends it, comes while a request is in flight: nobody else is
// let in, the request is answered, its order is in the topic, and the process ends well.
func TestSIGTERM(t *testing.T) {
	b := testbroker.Fake(t)
	topic := b.CreateTopic(t, 1)
	cmd := exec.Command(os.Args[0], "-addr=127.0.0.1:0", "-brokers="+b.Addrs[0], "-topic="+topic, "-drain=1m", "-stop=1m")
	cmd.Env = append(os.Environ(), "RUN_THE_PROGRAM=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr = strings.TrimSpace(addr)
	left.Eventually(t, "it is ready", func() string {
		if got := ask(t, "GET", "http://"+addr+"/readyz"); got != 200 {
			return fmt.Sprint(got)
		}
		return ""
	})

	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /orders HTTP/1.1\r\nHost: orders\r\nContent-Length: 8\r\nExpect: 100-continue\r\n\r\n")
	answers := bufio.NewReader(conn)
	res, err := http.ReadResponse(answers, nil)
	if err != nil || res.StatusCode != 100 { // it is in the handler
		t.Fatalf("%v, %v; want 100", res, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	left.Eventually(t, "nobody is let in", func() string {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return ""
		}
		c.Close()
		return "it still listens"
	})
	io.WriteString(conn, "an order")
	if res, err = http.ReadResponse(answers, nil); err != nil || res.StatusCode != 202 {
		t.Errorf("the request in flight: %v, %v; want 202", res, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the process: %v; want that it ends well", err)
	}
	if n := len(b.Read(t, topic)); n != 1 {
		t.Errorf("%d records; want the order", n)
	}
}

// The broker hangs: the process ends all the same, within its bounds, and says what
// it could not send.
func TestStopWhileTheBrokerHangs(t *testing.T) {
	b := testbroker.Fake(t)
	topic := b.CreateTopic(t, 1)
	addr, end, ended := serving(t, config{"127.0.0.1:0", b.Addrs[0], topic, 200 * time.Millisecond, 200 * time.Millisecond})
	left.Eventually(t, "it is ready", func() string {
		if got := ask(t, "GET", "http://"+addr+"/readyz"); got != 200 {
			return fmt.Sprint(got)
		}
		return ""
	})
	hang := b.Hang(kmsg.Produce)
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		res, err := http.Post("http://"+addr+"/orders", "text/plain", strings.NewReader("an order"))
		if err != nil {
			return // cut off
		}
		res.Body.Close()
		if res.StatusCode == 202 {
			t.Error("an order that no broker has is accepted")
		}
	}()
	left.Eventually(t, "it is being sent", func() string {
		if hang.Hits() == 0 {
			return "no"
		}
		return ""
	})
	end()
	err := <-ended
	<-asked
	http.DefaultClient.CloseIdleConnections()
	var cut *producer.StopError
	if err != nil && (!errors.As(err, &cut) || cut.Messages != 1) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("run: %v; want what was cut off", err)
	}
	nothingLeft(t, addr, b.Addrs[0])
}
