use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

fn asked() -> Url {
    Url::parse("http://127.0.0.1:8080/jpip/scan.j2k").expect("a URL")
}

#[test]
fn d_2_3_a_granted_channel_names_its_path() {
    let rows = [
        ("cid=n.1,path=jpip,transport=http", Some(("n.1", "http://127.0.0.1:8080/jpip"))),
        ("cid=a, path=/x/jpip", Some(("a", "http://127.0.0.1:8080/x/jpip"))),
        ("transport=http,cid=a", Some(("a", "http://127.0.0.1:8080/jpip/scan.j2k"))),
        ("cid=a,host=other,port=81,path=p", Some(("a", "http://other:81/p"))),
        ("cid=a,transport=http-tcp,auxport=5", None),
        ("cid=a,path=jpip,transport=http-udp,host=data,auxport=5", Some(("a", "http://127.0.0.1:8080/jpip"))),
        ("cid=a,path=jpip,transport=http-udp", None),
        ("path=jpip", None),
        ("cid=", None),
    ];
    for (header, expect) in rows {
        let granted = Channel::granted(header, &asked(), Some(&Transport::HttpUdp));
        let got = granted.as_ref().map(|channel| (channel.cid.as_str(), channel.url.as_str()));
        assert_eq!(got, expect, "{header}");
    }
}

#[test]
fn a_lost_channel_is_replaced_by_one_that_knows_what_is_here() {
    let mut conversation =
        Conversation::new(asked(), Some(Transport::Http), Trace::new(false)).expect("a conversation");
    let request = RequestBuilder::from_query("target=a&fsiz=8,8");
    let (url, query) = conversation.compose(&request);
    assert_eq!((url, query.to_query().as_str()), (asked(), "target=a&fsiz=8,8&cnew=http"));
    let answer = |cnew: &str| AnswerHeaders {
        cnew: Some(cnew.to_owned()),
        tid: Some("t1".to_owned()),
        ..AnswerHeaders::default()
    };
    conversation.take_headers(answer("cid=c1,path=jpip,transport=http")).expect("same target");
    let (url, query) = conversation.compose(&request);
    assert_eq!((url.path(), query.to_query().as_str()), ("/jpip", "fsiz=8,8&cid=c1&qid=1"));
    assert!(conversation.compose(&request).1.to_query().ends_with("qid=2"));

    conversation.store.insert(jpip::BinKey::metadata(0), 0, b"", true).expect("room");
    conversation.channel = None;
    let (url, query) = conversation.compose(&request);
    assert_eq!(url, asked());
    assert_eq!(query.to_query(), "target=a&fsiz=8,8&cnew=http&model=[0],M0&tid=t1");
    let other = AnswerHeaders { tid: Some("t2".to_owned()), ..AnswerHeaders::default() };
    assert!(conversation.take_headers(other).is_err());
}

/// A server that gives one answer to each request, in order, and returns the request lines it saw.
async fn serve(answers: Vec<(&'static str, Vec<u8>)>) -> (Url, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = Url::parse(&format!("http://{}/jpip", listener.local_addr().expect("an address"))).expect("a URL");
    let serving = tokio::spawn(async move {
        let mut seen = Vec::new();
        for (head, body) in answers {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let byte = stream.read_u8().await.expect("a request");
                request.push(byte);
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            seen.push(request.lines().next().unwrap_or_default().to_owned());
            let head = format!(
                "HTTP/1.1 {head}\r\nContent-Type: image/jpp-stream\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await.expect("a client");
            stream.write_all(&body).await.expect("a client");
        }
        seen
    });
    (url, serving)
}

/// Message of metadata-bin `id`, one byte, then the end of the response.
fn body(id: u8, reason: u8) -> Vec<u8> {
    vec![0x70 | id, 8, 0, 0, 1, 0xAA, 0, reason, 0]
}

async fn converse(answers: Vec<(&'static str, Vec<u8>)>, session: bool) -> (anyhow::Result<Completion>, Vec<String>) {
    let (url, serving) = serve(answers).await;
    let session = session.then_some(Transport::Http);
    let mut conversation = Conversation::new(url, session, Trace::new(false)).expect("a conversation");
    let done = conversation.fetch(&RequestBuilder::from_query("target=a&fsiz=8,8")).await;
    (done, serving.await.expect("a server"))
}

#[tokio::test]
async fn d_3_limits_of_the_server_are_answered_by_asking_again_while_something_comes() {
    let (done, seen) =
        converse(vec![("200 OK", body(1, 4)), ("200 OK", body(2, 7)), ("200 OK", body(3, 2))], false).await;
    assert_eq!(done.expect("an answer"), Completion::Complete);
    assert!(seen[2].contains("model=[0],M1,M2"), "{seen:?}");
    let (done, _) = converse(vec![("200 OK", body(1, 7)), ("200 OK", body(1, 7))], false).await;
    assert!(matches!(done, Ok(Completion::Incomplete(_))));
}

#[tokio::test]
async fn a_channel_that_the_server_forgot_is_opened_again_with_what_is_here() {
    let granted = "200 OK\r\nJPIP-cnew: cid=c1,path=jpip,transport=http";
    let again = "200 OK\r\nJPIP-cnew: cid=c2,path=jpip,transport=http";
    let answers = vec![
        (granted, body(1, 4)),
        ("503 Service Unavailable", b"no such channel".to_vec()),
        (again, body(2, 4)),
        ("200 OK", body(3, 2)),
    ];
    let (done, seen) = converse(answers, true).await;
    assert_eq!(done.expect("an answer"), Completion::Complete);
    assert!(seen[1].contains("cid=c1&qid=1") && !seen[1].contains("target="), "{seen:?}");
    assert!(seen[2].contains("target=a") && seen[2].contains("cnew=http&model=[0],M1"), "{seen:?}");
    assert!(seen[3].contains("cid=c2&qid=1"), "{seen:?}");
}

#[tokio::test]
async fn what_no_repetition_mends_is_an_error() {
    let (done, _) = converse(vec![("404 Not Found", b"no such target".to_vec())], false).await;
    assert!(done.expect_err("a refusal").to_string().contains("no such target"));
    let (done, _) = converse(vec![("503 Service Unavailable", b"busy".to_vec())], false).await;
    assert!(done.is_err());
    let contradiction = vec![0x71, 8, 0, 0, 1, 0xAA, 0x31, 0, 1, 0xBB, 0, 2, 0];
    assert!(converse(vec![("200 OK", contradiction)], false).await.0.is_err());
    let changed = [("200 OK\r\nJPIP-tid: t1", body(1, 4)), ("200 OK\r\nJPIP-tid: t2", body(2, 2))];
    assert!(converse(changed.to_vec(), false).await.0.is_err());
}

#[tokio::test]
async fn a_response_that_breaks_off_is_asked_for_again() {
    let cut = vec![0x71, 8, 0, 0, 5, 0xAA];
    let (done, _) = converse(vec![("200 OK", cut), ("200 OK", body(2, 2))], false).await;
    assert_eq!(done.expect("an answer"), Completion::Complete);
}
