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

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/fsm/group"
	"github.com/seed3893aba4/surestart/internal/leakcheck"
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

// serving runs the program in this process. It returns the address of the probes, a function
// that waits for that of the service, one that ends the program, and how it ended.
func serving(t *testing.T, c config) (admin string, web func() string, end func(), ended chan error) {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	t.Cleanup(end)
	at := map[string]chan string{"admin": make(chan string, 1), "web": make(chan string, 1)}
	ended = make(chan error, 1)
	go func() { ended <- run(ctx, c, func(name string, addr net.Addr) { at[name] <- addr.String() }) }()
	wait := func(name string) string {
		t.Helper()
		select {
		case addr := <-at[name]:
			return addr
		case err := <-ended:
			t.Fatal("it ended: ", err)
			return ""
		}
	}
	return wait("admin"), func() string { t.Helper(); return wait("web") }, end, ended
}

func ready(t *testing.T, admin string) {
	t.Helper()
	leakcheck.Eventually(t, "it is ready", func() string {
		if got := ask(t, "GET", "http://"+admin+"/readyz"); got != 200 {
			return fmt.Sprint(got)
		}
		return ""
	})
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

func body(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// inFlight makes a request that is in the handler, which waits for its body of 8 bytes.
func inFlight(t *testing.T, addr string) (conn net.Conn, answers *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST /orders HTTP/1.1\r\nHost: orders\r\nContent-Length: 8\r\nExpect: 100-continue\r\n\r\n")
	answers = bufio.NewReader(conn)
	if res, err := http.ReadResponse(answers, nil); err != nil || res.StatusCode != 100 {
		t.Fatalf("%v, %v; want 100", res, err)
	}
	return conn, answers
}

func nothingLeft(t *testing.T, addrs ...string) {
	t.Helper()
	leakcheck.Nothing(t, addrs, []string{"segmentio/kafka-go", "surestart/producer", "net/http.(*Server)", "net/http.(*conn)"})
}

// While the cluster is away the process is live and not ready, and takes no orders. Once the
// cluster is there it becomes ready by itself.
func TestProbes(t *testing.T) {
	b := testbroker.Fake(t)
	topic := b.CreateTopic(t, 1)
	b.Net.Kill(0)
	admin, web, end, ended := serving(t, config{"127.0.0.1:0", "127.0.0.1:0", b.Addrs[0], topic, 5 * time.Second, 15 * time.Second})
	for path, want := range map[string]int{"/livez": 200, "/readyz": 503, "/statusz": 200, "/metrics": 200, "/orders": 404} {
		if got := ask(t, "GET", "http://"+admin+path); got != want {
			t.Errorf("the cluster is away: %s answers %d; want %d", path, got, want)
		}
	}
	b.Net.Revive(0)
	addr := web()
	ready(t, admin)
	if got := ask(t, "POST", "http://"+addr+"/orders"); got != 202 {
		t.Errorf("an order is answered with %d", got)
	}
	metrics := body(t, "http://"+admin+"/metrics")
	for _, name := range []string{"orders", "services"} {
		opened := `surestart_lifecycle_attempts_total{lifecycle="` + name + `",result="opened"} 1`
		if watched := `surestart_lifecycle_down{lifecycle="` + name + `"} 0`; !strings.Contains(metrics, opened) || !strings.Contains(metrics, watched) {
			t.Errorf("want %s and %s in the metrics:\n%s", opened, watched, metrics)
		}
	}
	for _, path := range []string{"/statusz", "/metrics", "/readyz"} {
		if got := ask(t, "GET", "http://"+addr+path); got != 404 {
			t.Errorf("callers get %d for %s; want 404", got, path)
		}
	}
	if n := len(b.Read(t, topic)); n != 1 {
		t.Errorf("%d records; want the one order that was accepted", n)
	}
	end()
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
	nothingLeft(t, addr, admin, b.Addrs[0])
}

// SIGTERM, as Kubernetes sends it, comes while a request is in flight. No new request is admitted,
// the request is answered, its order is in the topic, and the process exits with status 0.
func TestSIGTERM(t *testing.T) {
	b := testbroker.Fake(t)
	topic := b.CreateTopic(t, 1)
	cmd := exec.Command(os.Args[0], "-addr=127.0.0.1:0", "-admin=127.0.0.1:0", "-brokers="+b.Addrs[0], "-topic="+topic, "-drain=1m", "-stop=1m")
	cmd.Env = append(os.Environ(), "RUN_THE_PROGRAM=1")
	log := new(strings.Builder)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	var admin, addr string
	if _, err := fmt.Fscanf(out, "admin %s\nweb %s\n", &admin, &addr); err != nil {
		t.Fatal(err)
	}
	ready(t, admin)

	conn, answers := inFlight(t, addr)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	leakcheck.Eventually(t, "it admits no new request", func() string {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return ""
		}
		c.Close()
		return "it still listens"
	})
	io.WriteString(conn, "an order")
	if res, err := http.ReadResponse(answers, nil); err != nil || res.StatusCode != 202 {
		t.Errorf("the request in flight: %v, %v; want 202", res, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the process: %v; want that it ends well. Its log:\n%s", err, log)
	}
	if !strings.Contains(log.String(), "surestart: closed") {
		t.Errorf("the log is without its last line:\n%s", log)
	}
	if n := len(b.Read(t, topic)); n != 1 {
		t.Errorf("%d records; want the order", n)
	}
}

// The broker hangs. The process still ends, within its bounds, and reports what it could not send.
func TestStopWhileTheBrokerHangs(t *testing.T) {
	b := testbroker.Fake(t)
	topic := b.CreateTopic(t, 1)
	admin, web, end, ended := serving(t, config{"127.0.0.1:0", "127.0.0.1:0", b.Addrs[0], topic, 200 * time.Millisecond, 200 * time.Millisecond})
	addr := web()
	ready(t, admin)
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
	leakcheck.Eventually(t, "it is being sent", func() string {
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
	nothingLeft(t, addr, admin, b.Addrs[0])
}

// A request does not end. It is cut off after its share of the time, and the rest is the producer's.
func TestStopWhileARequestHangs(t *testing.T) {
	b := testbroker.Fake(t)
	topic := b.CreateTopic(t, 1)
	admin, web, end, ended := serving(t, config{"127.0.0.1:0", "127.0.0.1:0", b.Addrs[0], topic, 50 * time.Millisecond, time.Hour})
	addr := web()
	conn, answers := inFlight(t, addr)
	began := time.Now()
	end()
	if _, err := answers.ReadByte(); err == nil {
		t.Error("the request that was cut off is answered")
	}
	if err := <-ended; !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
		t.Errorf("run after %v: %v; want the server's deadline, of 50 ms", time.Since(began), err)
	}
	conn.Close()
	nothingLeft(t, addr, admin, b.Addrs[0])
}

// The server dies. The producer is stopped, and the program ends with the cause.
func TestDeath(t *testing.T) {
	b := testbroker.Fake(t)
	p, err := producer.New(producer.Config{Brokers: b.Addrs, Topic: b.CreateTopic(t, 1)})
	if err != nil {
		t.Fatal(err)
	}
	web := server("127.0.0.1:0", time.Minute, handler(p), func(net.Addr) {})
	all, err := together(config{drain: time.Minute, stop: time.Minute}, web, p)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- all.Run(context.Background()) }()
	if _, err := all.Wait(t.Context(), fsm.Started); err != nil {
		t.Fatal(err)
	}
	lease, err := web.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	files := errors.New("too many open files")
	lease.Fail(files)
	lease.Release()
	var died *group.DiedError
	if err := <-ended; !errors.As(err, &died) || died.Member != "web" || !errors.Is(err, files) {
		t.Errorf("Run: %v; want the death of web, and its cause", err)
	}
	if p.State() != fsm.Idle || web.State() != fsm.Idle {
		t.Errorf("the producer is %v, the server %v; want both idle", p.State(), web.State())
	}
	nothingLeft(t, b.Addrs[0])
}
