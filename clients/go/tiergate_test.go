package tiergate_test

// What the client does by itself, against a server of its own.

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tiergate/tiergate/clients/go"
)

const granted = `{"allowed":true,"reason":"granted","feature":"movies","entitlement":{"value":50},"sources":[],` +
	`"reserved":1,"reservation":"r/1","key":"k"}`

type request struct {
	path, body string
	header     http.Header
}

func serving(t *testing.T, answer http.HandlerFunc) (string, *[]request) {
	t.Helper()
	var asked []request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, request{r.URL.EscapedPath(), string(body), r.Header})
		answer(w, r)
	}))
	t.Cleanup(server.CloseClientConnections)
	t.Cleanup(server.Close)
	return server.URL, &asked
}

func answering(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func sidecarAt(t *testing.T, options tiergate.Options) *tiergate.Sidecar {
	t.Helper()
	sidecar, err := tiergate.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return sidecar
}

var movies = tiergate.NewCheck(tiergate.Customer("ada"), "movies")

func TestNumbersAreSentAsTheyAreWritten(t *testing.T) {
	url, asked := serving(t, answering(granted))
	sidecar := sidecarAt(t, tiergate.Options{URL: url, Token: func() string { return "secret" }})
	check := tiergate.NewCheck(tiergate.Subscription("sub").WithUser("ann"), "movies", tiergate.Amount("0.10"), tiergate.Used("12345678901234567890"))
	ctx := tiergate.WithTrace(context.Background(), tiergate.Trace{RequestID: "r1", Traceparent: "bad\n"})
	if answer, err := sidecar.Check(ctx, check); err != nil || !answer.Allowed {
		t.Fatal(answer, err)
	}
	wanted := `{"subject":{"id":"sub","type":"subscription","user":"ann"},"feature":"movies","amount":0.10,"used":12345678901234567890}`
	if (*asked)[0].body != wanted {
		t.Error((*asked)[0].body)
	}
	header := (*asked)[0].header
	if header.Get("Authorization") != "Bearer secret" || header.Get("X-Request-Id") != "r1" || header.Get("Traceparent") != "" {
		t.Error(header)
	}
}

func TestWhatIsNoNumberIsAMistakeBeforeAnythingIsSent(t *testing.T) {
	sidecar := sidecarAt(t, tiergate.Options{URL: "http://127.0.0.1:1"})
	var wrong *tiergate.RequestError
	_, err := sidecar.Check(context.Background(), tiergate.NewCheck(tiergate.Customer("ada"), "movies", tiergate.Amount("ten")))
	if !errors.As(err, &wrong) || sidecar.NoAnswers() != 0 {
		t.Error(err, sidecar.NoAnswers())
	}
}

func TestWithoutAnAnswerThereIsWhatTheServiceSaid(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"cannot decide": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"detail":"no data yet"}`)
		},
		"no JSON":                      answering("<html>"),
		"an answer to another request": answering(`{"allowed":true,"feature":"other"}`),
		"nothing in time":              func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		},
		"a closed connection": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			url, _ := serving(t, answer)
			told := 0
			sidecar := sidecarAt(t, tiergate.Options{
				URL: url, Timeout: 200 * time.Millisecond, OnNoAnswer: func(*tiergate.UnreachableError) { told++ },
			})
			for _, otherwise := range []bool{true, false} {
				if allowed, err := sidecar.Allows(context.Background(), movies, otherwise); err != nil || allowed != otherwise {
					t.Error(allowed, err)
				}
			}
			var unreachable *tiergate.UnreachableError
			if _, err := sidecar.Check(context.Background(), movies); !errors.As(err, &unreachable) {
				t.Error(err)
			}
			if told != 3 || sidecar.NoAnswers() != 3 {
				t.Error(told, sidecar.NoAnswers())
			}
		})
	}
}

func TestAMistakeIsNoMissingAnswer(t *testing.T) {
	url, _ := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"type":"urn:tiergate:problem:unknown-feature","detail":"none","field":"/feature","suggestion":"movies"}`)
	})
	sidecar := sidecarAt(t, tiergate.Options{URL: url})
	allowed, err := sidecar.Allows(context.Background(), movies, true)
	var wrong *tiergate.RequestError
	if allowed || !errors.As(err, &wrong) || !wrong.IsUnknownFeature() || wrong.Status != 404 || wrong.Suggestion != "movies" {
		t.Error(allowed, err)
	}
}

func TestACallerCanGiveUp(t *testing.T) {
	url, _ := serving(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := sidecarAt(t, tiergate.Options{URL: url, Timeout: time.Minute}).Check(ctx, movies)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestAReservationEndsByItsID(t *testing.T) {
	url, asked := serving(t, answering(granted))
	ctx := context.Background()
	reservation, err := sidecarAt(t, tiergate.Options{URL: url}).Reserve(ctx, tiergate.Use{Subject: tiergate.Customer("ada"), Feature: "movies"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(reservation.Commit(ctx, "1"), reservation.Release(ctx)); err != nil {
		t.Fatal(err)
	}
	if path := (*asked)[1].path; path != "/v1/reservations/r%2F1/commit" || (*asked)[1].body != `{"amount":1}` {
		t.Error((*asked)[1])
	}
}

func TestWhatCannotBeReservedOrEndIsRefusedBeforeAnythingIsSent(t *testing.T) {
	url, asked := serving(t, answering(strings.Replace(granted, `"r/1"`, `""`, 1)))
	ctx, sidecar := context.Background(), sidecarAt(t, tiergate.Options{URL: url})
	use := tiergate.Use{Subject: tiergate.Customer("ada"), Feature: "movies"}
	denied, err := sidecar.Reserve(ctx, use)
	if err != nil {
		t.Fatal(err)
	}
	use.ExpiresIn = 999 * time.Millisecond
	_, short := sidecar.Reserve(ctx, use)
	use.ExpiresIn = -time.Minute
	_, negative := sidecar.Reserve(ctx, use)
	for field, errs := range map[string][]error{
		"/expires_in":  {short, negative},
		"/reservation": {denied.Commit(ctx, ""), denied.Release(ctx)},
	} {
		for _, err := range errs {
			var wrong *tiergate.RequestError
			if !errors.As(err, &wrong) || wrong.Field != field || wrong.Status != http.StatusBadRequest {
				t.Error(field, err)
			}
		}
	}
	if len(*asked) != 1 || sidecar.NoAnswers() != 0 {
		t.Error(*asked)
	}
}

func TestAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: answering(granted)}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	if allowed, err := sidecarAt(t, tiergate.Options{URL: "unix:" + path}).Allows(context.Background(), movies, false); err != nil || !allowed {
		t.Error(allowed, err)
	}
}

func TestAConnectionThatTheServerClosesIsReplaced(t *testing.T) {
	connections := map[string]int{}
	url, asked := serving(t, func(w http.ResponseWriter, r *http.Request) {
		if connections[r.RemoteAddr]++; connections[r.RemoteAddr] > 1 {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, granted)
	})
	sidecar := sidecarAt(t, tiergate.Options{URL: url, Token: func() string { return "secret\n" }})
	for range 2 {
		if allowed, err := sidecar.Allows(context.Background(), movies, false); err != nil || !allowed {
			t.Error(allowed, err)
		}
	}
	header := (*asked)[0].header
	if _, isSent := header["Idempotency-Key"]; isSent || header.Get("Authorization") != "Bearer secret" || len(*asked) != 3 {
		t.Error(header, len(*asked))
	}
	outcome := tiergate.Outcome{Feature: "movies", OK: true}
	var unreachable *tiergate.UnreachableError
	if _, err := sidecar.Outcomes(context.Background(), []tiergate.Outcome{outcome}); !errors.As(err, &unreachable) {
		t.Error("an outcome without an id would count twice", err)
	}
}

func TestAnAddressIsLookedAt(t *testing.T) {
	for _, url := range []string{"localhost:8437", "ftp://a", "http://a/b", "http://a?b", "unix:", "http://"} {
		if _, err := tiergate.New(tiergate.Options{URL: url}); err == nil {
			t.Error(url)
		}
	}
}
