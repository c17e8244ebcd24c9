// Package tiergate asks a Tiergate sidecar on localhost whether a customer may use a feature.
//
//	sidecar, err := tiergate.New(tiergate.Options{})
//	…
//	allowed, err := sidecar.Allows(ctx, tiergate.NewCheck(tiergate.Customer("ada"), "movies", tiergate.Used("12")), false)
//
// A denial and a failure are never confused: a denial is an Answer, a failure is an UnreachableError, or the
// `otherwise` of Allows. A mistake in a request, such as an unknown feature, is a *RequestError.
package tiergate

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// DefaultURL is the default address of a sidecar.
const DefaultURL = "http://127.0.0.1:8437"

const (
	defaultTimeout = time.Second
	keptPerHost    = 64 // the default of net/http is 2: with more concurrent checks, most would open a connection
	largestBody    = 64 << 20
)

// Options say how to reach a sidecar. The zero value reaches one at DefaultURL.
type Options struct {
	// URL is http://host:port, https://host:port or unix:/path/of/the/socket.
	URL string
	// Token returns what the sidecar's token file holds, if it has one; it is called before each request. Space around
	// it, such as the end of the line, does not count.
	Token func() string
	// Timeout limits a call, from its beginning to the last byte of the answer; by default one second. The context of
	// the call can end it earlier.
	Timeout time.Duration
	// Transport is used in place of an own one, which keeps up to 64 connections.
	Transport http.RoundTripper
	// OnNoAnswer is called for each call without an answer, before Allows returns its otherwise; for a metric.
	OnNoAnswer func(*UnreachableError)
}

// Sidecar is a client of one sidecar. It is safe for concurrent use, and keeps its connections.
type Sidecar struct {
	url       string
	options   Options
	client    *http.Client
	noAnswers atomic.Int64
}

// New prepares a client; nothing is sent yet.
func New(options Options) (*Sidecar, error) {
	address := options.URL
	if address == "" {
		address = DefaultURL
	}
	if options.Timeout == 0 {
		options.Timeout = defaultTimeout
	}
	transport := options.Transport
	own := &http.Transport{MaxIdleConnsPerHost: keptPerHost, IdleConnTimeout: 60 * time.Second, DisableCompression: true}
	if path, isSocket := strings.CutPrefix(address, "unix:"); isSocket {
		if transport != nil || path == "" {
			return nil, errors.New("tiergate: a Unix socket needs its path, and no Transport")
		}
		own.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
		address = "http://localhost"
	}
	parsed, err := url.Parse(address)
	plain := err == nil && (parsed.Path == "" || parsed.Path == "/") && parsed.RawQuery == "" && parsed.User == nil
	if !plain || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
		return nil, fmt.Errorf("tiergate: %q must be http://host:port, https://host:port or unix:/path", options.URL)
	}
	if transport == nil {
		transport = own
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Sidecar{url: strings.TrimSuffix(address, "/"), options: options, client: client}, nil
}

// NoAnswers is the number of calls without an answer so far.
func (s *Sidecar) NoAnswers() int64 { return s.noAnswers.Load() }

// Check asks whether a subject may use a feature.
func (s *Sidecar) Check(ctx context.Context, check Check) (Answer, error) {
	var answer Answer
	id, err := s.post(ctx, "/v1/check", check, &answer)
	if err != nil {
		return Answer{}, err
	}
	answer.DecisionID = id
	return answer, s.about(answer.Feature, check.Feature)
}

// Allows asks as Check does, and returns otherwise if there is no answer: whether a feature fails open or closed is the
// service's decision. The error is a mistake in the check, or nil; with a mistake, the result is false.
func (s *Sidecar) Allows(ctx context.Context, check Check, otherwise bool) (bool, error) {
	answer, err := s.Check(ctx, check)
	var unreachable *UnreachableError
	if errors.As(err, &unreachable) {
		return otherwise, nil
	}
	return err == nil && answer.Allowed, err
}

// Checks asks up to 1,000 checks at once. Results come in the same order.
func (s *Sidecar) Checks(ctx context.Context, checks []Check) ([]Result, error) {
	var found struct {
		Results []json.RawMessage `json:"results"`
	}
	if checks == nil {
		checks = []Check{}
	}
	id, err := s.post(ctx, "/v1/checks", map[string]any{"checks": checks}, &found)
	if err != nil {
		return nil, err
	}
	if len(found.Results) != len(checks) {
		return nil, s.misled()
	}
	results := make([]Result, len(checks))
	for place, text := range found.Results {
		if results[place], err = s.result(text, checks[place].Feature); err != nil {
			return nil, err
		}
		if id != "" && results[place].Err == nil {
			results[place].Answer.DecisionID = id + "." + strconv.Itoa(place)
		}
	}
	return results, nil
}

func (s *Sidecar) result(text json.RawMessage, feature string) (Result, error) {
	var kind struct {
		Allowed *bool `json:"allowed"`
	}
	var result Result
	if err := decode(text, &kind); err != nil {
		return result, s.missed(err)
	}
	if kind.Allowed == nil {
		var wrong problem
		if err := decode(text, &wrong); err != nil {
			return result, s.missed(err)
		}
		result.Err = wrong.asError(0)
		return result, nil
	}
	if err := decode(text, &result.Answer); err != nil {
		return result, s.missed(err)
	}
	return result, s.about(result.Answer.Feature, feature)
}

// Entitlements returns the subject's entitlement for each feature of the catalog, or for some, in the order of their ids.
func (s *Sidecar) Entitlements(ctx context.Context, subject Subject, features ...string) ([]Answer, error) {
	query := subject.query()
	if len(features) > 0 {
		query.Set("feature", strings.Join(features, ","))
	}
	var found struct {
		Entitlements []Answer `json:"entitlements"`
		Publication  int      `json:"publication"`
		Revision     string   `json:"revision"`
		Stale        bool     `json:"stale"`
	}
	if _, err := s.request(ctx, http.MethodGet, "/v1/entitlements?"+query.Encode(), nil, &found); err != nil {
		return nil, err
	}
	for place := range found.Entitlements {
		answer := &found.Entitlements[place]
		answer.Publication, answer.Revision, answer.Stale = found.Publication, found.Revision, found.Stale
	}
	return found.Entitlements, nil
}

// Explain asks why Check answers as it does, or would at another moment if at is not zero. It takes milliseconds.
func (s *Sidecar) Explain(ctx context.Context, check Check, at time.Time) (Explanation, error) {
	var moment string
	if !at.IsZero() {
		moment = at.Format(time.RFC3339Nano)
	}
	var found Explanation
	body := struct {
		Check
		At string `json:"at,omitempty"`
	}{check, moment}
	if _, err := s.post(ctx, "/v1/explain", body, &found); err != nil {
		return Explanation{}, err
	}
	return found, s.about(found.Answer.Feature, check.Feature)
}

func (s *Sidecar) post(ctx context.Context, path string, body, answer any) (string, error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return "", refused("", err.Error())
	}
	return s.request(ctx, http.MethodPost, path, encoded, answer)
}

// request sends a request and decodes its answer; it returns the id of the decision.
func (s *Sidecar) request(ctx context.Context, method, path string, body []byte, answer any) (string, error) {
	trace := traceOf(ctx)
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return "", s.missed(err)
	}
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if s.options.Token != nil {
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(s.options.Token()))
	}
	if path != outcomesPath {
		// Twice is as once: a check changes nothing, and what counts has a key or an id. So net/http may send it again if
		// the sidecar closes a kept connection. A nil value is not sent.
		request.Header["Idempotency-Key"] = nil
	}
	for name, value := range map[string]string{"X-Request-Id": trace.RequestID, "Traceparent": trace.Traceparent} {
		if value != "" && isHeader(value) {
			request.Header.Set(name, value)
		}
	}
	response, err := s.client.Do(request)
	if err != nil {
		return "", s.missed(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, largestBody))
	if err != nil {
		return "", s.missed(err)
	}
	if response.StatusCode == http.StatusOK {
		if err := decode(text, answer); err != nil {
			return "", s.missed(fmt.Errorf("unexpected response, not of a Tiergate sidecar: %w", err))
		}
		return response.Header.Get("Tiergate-Decision-Id"), nil
	}
	var wrong problem
	if err := decode(text, &wrong); err != nil {
		return "", s.missed(fmt.Errorf("unexpected response, not of a Tiergate sidecar: status %d", response.StatusCode))
	}
	if response.StatusCode >= http.StatusInternalServerError && response.StatusCode != http.StatusNotImplemented {
		return "", s.missed(errors.New(wrong.Detail))
	}
	return "", wrong.asError(response.StatusCode)
}

func (s *Sidecar) about(found, asked string) error {
	if found != asked {
		return s.misled()
	}
	return nil
}

func (s *Sidecar) misled() error {
	return s.missed(errors.New("the response belongs to another request"))
}

func (s *Sidecar) missed(cause error) error {
	s.noAnswers.Add(1)
	err := &UnreachableError{URL: s.url, Cause: cause}
	if s.options.OnNoAnswer != nil {
		s.options.OnNoAnswer(err)
	}
	return err
}

// decode reads JSON with exact numbers.
func decode(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into)
}

func isHeader(value string) bool {
	for _, letter := range []byte(value) {
		if letter < ' ' || letter > '~' {
			return false
		}
	}
	return strings.TrimSpace(value) == value
}

func newKey() string {
	var bits [16]byte
	if _, err := rand.Read(bits[:]); err != nil {
		panic("tiergate: no random numbers: " + err.Error()) // as crypto/rand itself does since Go 1.24
	}
	return hex.EncodeToString(bits[:])
}
