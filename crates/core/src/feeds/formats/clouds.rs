//! Where the documents of clouds have their networks.

use super::document::Shape::{self, Array, Date, Network, Object};

/// `ip-ranges.json` of AWS.
pub(in crate::feeds) const AWS: Shape = Object(&[
    ("syncToken", Date),
    ("createDate", Date),
    ("prefixes", Array(&Object(&[("ip_prefix", Network)]))),
    ("ipv6_prefixes", Array(&Object(&[("ipv6_prefix", Network)]))),
]);

/// The service tags of Azure; IPv4 and IPv6 stand in one array.
pub(in crate::feeds) const AZURE: Shape =
    Object(&[("values", Array(&Object(&[("properties", Object(&[("addressPrefixes", Array(&Network))]))])))]);

/// The ranges of Google, and of the crawlers that publish theirs in the same way.
pub(in crate::feeds) const GCP: Shape = Object(&[
    ("syncToken", Date),
    ("creationTime", Date),
    ("prefixes", Array(&Object(&[("ipv4Prefix", Network), ("ipv6Prefix", Network)]))),
]);

/// The public ranges of Oracle Cloud.
pub(in crate::feeds) const ORACLE: Shape = Object(&[
    ("last_updated_timestamp", Date),
    ("regions", Array(&Object(&[("cidrs", Array(&Object(&[("cidr", Network)])))]))),
]);

#[cfg(test)]
mod tests {
    use super::super::tests::{read_all, try_all};
    use crate::feeds::format::{Format, FormatError};

    #[test]
    fn the_networks_of_aws_stand_in_an_array_for_each_family() {
        let file = r#"{"syncToken": "1780727385", "createDate": "2026-06-06-06-29-45", "prefixes": [
            {"ip_prefix": "198.51.100.0/24", "region": "eu-west-1", "service": "AMAZON"},
            {"region": "eu-west-1", "ip_prefix": "198.51.100.0/24", "service": "EC2"},
            {"ip_prefix": "foo"}, {"region": "eu-west-1"}],
            "ipv6_prefixes": [{"ipv6_prefix": "2001:db8::/32", "more": {"a": [null, {"b": 1.5}]}}]}"#;
        let (rows, summary) = read_all(Format::Aws, file);
        assert_eq!(rows, ["198.51.100.0/24", "198.51.100.0/24", "2001:db8::/32"]);
        assert_eq!((summary.rejected, summary.dated_at), (2, Some(1_780_727_385_000)));
        assert_eq!(summary.first_rejected.as_deref(), Some("foo"));
    }

    #[test]
    fn the_networks_of_azure_stand_in_its_service_tags() {
        let file = r#"{"changeNumber": 1, "cloud": "Public", "values": [
            {"name": "A", "properties": {"region": "", "addressPrefixes": ["198.51.100.0/24", "2001:db8::/32"]}},
            {"name": "B", "properties": {"addressPrefixes": []}},
            {"name": "C", "properties": {}}, {"name": "D"}]}"#;
        let (rows, summary) = read_all(Format::Azure, file);
        assert_eq!(rows, ["198.51.100.0/24", "2001:db8::/32"]);
        assert_eq!((summary.rejected, summary.dated_at), (2, None));
        assert_eq!(summary.first_rejected.as_deref(), Some("an entry without `addressPrefixes`"));
    }

    #[test]
    fn the_networks_of_google_and_of_crawlers_name_their_family() {
        let file = r#"{"syncToken": "1780727385000", "creationTime": "2026-06-05T23:29:45.1", "prefixes": [
            {"ipv4Prefix": "198.51.100.0/24", "service": "Google Cloud", "scope": "europe-west1"},
            {"ipv6Prefix": "2001:db8::/32"}, {"ipv5Prefix": "1"}]}"#;
        let (rows, summary) = read_all(Format::Gcp, file);
        assert_eq!(rows, ["198.51.100.0/24", "2001:db8::/32"]);
        assert_eq!((summary.rejected, summary.dated_at), (1, Some(1_780_727_385_000)));
        let crawler =
            r#"{"creationTime": "2026-06-06T06:29:45.000000", "prefixes": [{"ipv4Prefix": "192.0.2.1/32"}]}"#;
        assert_eq!(read_all(Format::Gcp, crawler).1.dated_at, Some(1_780_727_385_000));
    }

    #[test]
    fn the_networks_of_oracle_stand_in_its_regions() {
        let file = r#"{"last_updated_timestamp": "2026-06-06T06:29:45.000000", "regions": [
            {"region": "a", "cidrs": [{"cidr": "198.51.100.0/24", "tags": ["OCI"]}, {"cidr": "192.0.2.0/24"}]},
            {"region": "b", "cidrs": []}]}"#;
        let (rows, summary) = read_all(Format::Oracle, file);
        assert_eq!(rows, ["198.51.100.0/24", "192.0.2.0/24"]);
        assert_eq!((summary.rejected, summary.dated_at), (0, Some(1_780_727_385_000)));
    }

    #[test]
    fn a_document_of_another_shape_is_refused_with_what_differs() {
        for (format, file, reason) in [
            (Format::Aws, "{}", "`prefixes` is missing"),
            (Format::Aws, r#"{"syncToken":"1"}"#, "`prefixes` is missing"),
            (Format::Gcp, r#"{"regions":[]}"#, "`prefixes` is missing"),
            (Format::Aws, "[]", "expected an object with `prefixes` or `ipv6_prefixes`"),
            (Format::Aws, r#"{"prefixes":{}}"#, "expected an array"),
            (Format::Aws, r#"{"prefixes":["198.51.100.0/24"]}"#, "expected an object with `ip_prefix`"),
            (
                Format::Azure,
                r#"{"values":[{"properties":{"addressPrefixes":[4]}}]}"#,
                "expected a network as text",
            ),
            (Format::Aws, r#"{"syncToken":{},"prefixes":[]}"#, "expected a date"),
            (Format::Oracle, r#"{"last_updated_timestamp":null,"regions":[]}"#, "expected a date"),
        ] {
            let error = try_all(format, file.as_bytes()).unwrap_err();
            assert!(matches!(error, FormatError::Structure { .. }), "{file}: {error:?}");
            let message = error.to_string();
            assert!(message.contains(reason) && message.contains(format.as_str()), "{file}: {message}");
        }
    }
}
