// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IPayToken} from "./IPayToken.sol";
import {ISplit} from "./ISplit.sol";
import {Owned} from "./Owned.sol";
import {Authorization, Money} from "./Money.sol";

/// @title Who may use the DAO's data and models, for what, until when
/// @notice A grant comes from an executed proposal (`grant`, by the owner) or from a paid order under an offer that the
/// DAO approved. Keepers read the terms from the event and check them against storage before they release anything.
///
/// Definitions:
///   offer id = keccak(abi.encode(chain id, this contract, offer))
///   grant id = keccak(abi.encode(chain id, this contract, terms)); a license has an offer id as `decision`
///   the nonce of the EIP-3009 authorisation that pays an order is the grant id
/// So an authorisation is good for one order of one offer at its price here, and whoever sends it buys just that.
/// Storage holds one slot a grant, under its id: grantee, expiry, mode, state. A grant counts while it is active and
/// the time is before its expiry. Its scope is a hash, so it costs the same whatever it reaches.
/// A revoked grant stays revoked; revoking gives no money back (the DAO can pay by proposal).
contract Licenses is Owned, ReentrancyGuardTransient {
    using SafeERC20 for IPayToken;
    using Money for IPayToken;

    /// @notice How the grantee may use the scope: ask through the gateway, run approved code on it, or have it.
    enum Mode {
        None,
        Api,
        Compute,
        Release
    }

    /// @notice How far a grant is.
    enum State {
        None,
        Active,
        Revoked
    }

    /// @notice What anyone may order until `closesAt`. `duration`: seconds a license lasts. `splitKey`: who earns.
    struct Offer {
        IPayToken token;
        uint128 price;
        Mode mode;
        uint64 duration;
        uint64 closesAt;
        bytes32 scopeRoot;
        bytes32 purposeHash;
        bytes32 codeHash;
        bytes32 splitKey;
    }

    /// @notice What the buyer chooses. `granteeKey`: the X25519 key of an age recipient, zero only in mode api.
    struct Order {
        address grantee;
        bytes32 granteeKey;
        bytes32 salt;
    }

    /// @notice What was granted. `decision`: the offer's id, or the hash of the proposal's text.
    struct Terms {
        address grantee;
        bytes32 granteeKey;
        Mode mode;
        bytes32 scopeRoot;
        bytes32 purposeHash;
        bytes32 codeHash;
        bytes32 decision;
        bytes32 salt;
    }

    /// @notice What is stored of a grant.
    struct Grant {
        address grantee;
        uint64 expiry;
        Mode mode;
        State state;
    }

    /// @notice The longest that a grant may last, in seconds.
    uint64 public constant MAX_DURATION = 5 * 365 days;

    /// @notice Takes the price of every order.
    ISplit public immutable split;

    /// @notice Whether an offer is open.
    mapping(bytes32 offerId => bool) public isOpen;

    mapping(bytes32 id => Grant) private _grants;

    /// @notice An address that must name somebody is zero.
    error ZeroAddress();
    /// @notice A hash that must say something is zero.
    error ZeroHash();
    /// @notice The amount must be more than zero.
    error ZeroAmount();
    /// @notice A grant needs a mode.
    error ModeRequired();
    /// @notice Mode compute names approved code, and only that mode does.
    error CodeMismatch(Mode mode, bytes32 codeHash);
    /// @notice What is opened for a grantee is sealed to a key; only mode api does without.
    error KeyRequired(Mode mode);
    /// @notice A time is not within what is allowed.
    error TimeOutOfBounds(uint64 given, uint64 least, uint64 most);
    /// @notice This token is not on the list of pay tokens.
    error TokenNotAllowed(address token);
    /// @notice This offer is open already.
    error OfferKnown(bytes32 offerId);
    /// @notice This offer was not approved, or was closed.
    error OfferNotOpen(bytes32 offerId);
    /// @notice This offer has expired.
    error OfferExpired(bytes32 offerId, uint64 closesAt, uint64 time);
    /// @notice These very terms were granted before.
    error GrantKnown(bytes32 id, State state);
    /// @notice There is no active grant with this id.
    error GrantNotActive(bytes32 id, State state);

    event OfferApproved(bytes32 indexed offerId, Offer offer);
    event OfferClosed(bytes32 indexed offerId);
    event Granted(
        bytes32 indexed id, address indexed grantee, bytes32 indexed decision, Terms terms, uint64 expiry, uint128 price
    );
    event Ordered(bytes32 indexed id, bytes32 indexed offerId, address indexed payer, address token, uint128 price);
    event Revoked(bytes32 indexed id);

    constructor(address owner_, ISplit split_) Owned(owner_) {
        require(address(split_) != address(0), ZeroAddress());
        split = split_;
    }

    /// @notice Let everyone order under `offer` until it closes.
    function approveOffer(Offer calldata offer) external onlyOwner {
        bytes32 id = offerId(offer);
        require(!isOpen[id], OfferKnown(id));
        require(offer.price != 0, ZeroAmount());
        require(split.isOpen(offer.token), TokenNotAllowed(address(offer.token)));
        _checkWhat(offer.mode, offer.scopeRoot, offer.purposeHash, offer.codeHash);
        _checkTime(offer.duration, 1, MAX_DURATION);
        _checkTime(offer.closesAt, uint64(block.timestamp) + 1, type(uint64).max);
        isOpen[id] = true;
        emit OfferApproved(id, offer);
    }

    /// @notice Take no more orders under an offer; licenses under it stay.
    function closeOffer(bytes32 id) external onlyOwner {
        require(isOpen[id], OfferNotOpen(id));
        isOpen[id] = false;
        emit OfferClosed(id);
    }

    /// @notice Grant `terms` until `expiry`, as a proposal decided.
    function grant(Terms calldata terms, uint64 expiry) external onlyOwner returns (bytes32 id) {
        _checkWhat(terms.mode, terms.scopeRoot, terms.purposeHash, terms.codeHash);
        require(terms.decision != 0, ZeroHash());
        _checkTime(expiry, uint64(block.timestamp) + 1, uint64(block.timestamp) + MAX_DURATION);
        id = _grant(terms, expiry, 0);
    }

    /// @notice End a grant or license.
    function revoke(bytes32 id) external onlyOwner {
        State state = _grants[id].state;
        require(state == State.Active, GrantNotActive(id, state));
        _grants[id].state = State.Revoked;
        emit Revoked(id);
    }

    /// @notice Buy a license under `offer` for the caller's money, which it allowed this contract to take.
    function order(Offer calldata offer, Order calldata order_) external nonReentrant returns (bytes32 id) {
        id = _order(offer, order_, msg.sender);
        offer.token.take(msg.sender, offer.price);
        _passOn(offer);
    }

    /// @notice Buy a license under `offer` for `payer`, by its EIP-3009 ReceiveWithAuthorization of the price to this
    /// contract, whose nonce is the grant id (`orderId`). Anyone may send it.
    function orderByAuthorization(
        Offer calldata offer,
        Order calldata order_,
        address payer,
        Authorization calldata authorization
    ) external nonReentrant returns (bytes32 id) {
        id = _order(offer, order_, payer);
        offer.token.takeSigned(payer, offer.price, id, authorization);
        _passOn(offer);
    }

    /// @notice What is stored of a grant; all zero if there is none.
    function grantOf(bytes32 id) external view returns (Grant memory) {
        return _grants[id];
    }

    /// @notice Whether a grant counts now: active and not expired.
    function isActive(bytes32 id) external view returns (bool) {
        Grant storage known = _grants[id];
        return known.state == State.Active && block.timestamp < known.expiry;
    }

    /// @notice The id of an offer.
    function offerId(Offer calldata offer) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), offer));
    }

    /// @notice The id of a grant with these terms.
    function grantId(Terms memory terms) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), terms));
    }

    /// @notice The id that a license under `offer` will have: the nonce to sign.
    function orderId(Offer calldata offer, Order calldata order_) external view returns (bytes32) {
        return grantId(_terms(offer, order_, offerId(offer)));
    }

    function _order(Offer calldata offer, Order calldata order_, address payer) private returns (bytes32 id) {
        bytes32 approved = offerId(offer);
        require(isOpen[approved], OfferNotOpen(approved));
        require(block.timestamp < offer.closesAt, OfferExpired(approved, offer.closesAt, uint64(block.timestamp)));
        require(split.isOpen(offer.token), TokenNotAllowed(address(offer.token)));
        id = _grant(_terms(offer, order_, approved), uint64(block.timestamp) + offer.duration, offer.price);
        emit Ordered(id, approved, payer, address(offer.token), offer.price);
    }

    function _grant(Terms memory terms, uint64 expiry, uint128 price) private returns (bytes32 id) {
        id = grantId(terms);
        State state = _grants[id].state;
        require(state == State.None, GrantKnown(id, state));
        require(terms.grantee != address(0), ZeroAddress());
        require(terms.granteeKey != 0 || terms.mode == Mode.Api, KeyRequired(terms.mode));
        _grants[id] = Grant(terms.grantee, expiry, terms.mode, State.Active);
        emit Granted(id, terms.grantee, terms.decision, terms, expiry, price);
    }

    /// @dev Hand the price to the split.
    function _passOn(Offer calldata offer) private {
        offer.token.forceApprove(address(split), offer.price);
        split.pay(offer.splitKey, offer.token, offer.price);
    }

    function _terms(Offer calldata offer, Order calldata order_, bytes32 approved) private pure returns (Terms memory) {
        return Terms({
            grantee: order_.grantee,
            granteeKey: order_.granteeKey,
            mode: offer.mode,
            scopeRoot: offer.scopeRoot,
            purposeHash: offer.purposeHash,
            codeHash: offer.codeHash,
            decision: approved,
            salt: order_.salt
        });
    }

    function _checkWhat(Mode mode, bytes32 scopeRoot, bytes32 purposeHash, bytes32 codeHash) private pure {
        require(mode != Mode.None, ModeRequired());
        require(scopeRoot != 0 && purposeHash != 0, ZeroHash());
        require((mode == Mode.Compute) == (codeHash != 0), CodeMismatch(mode, codeHash));
    }

    function _checkTime(uint64 given, uint64 least, uint64 most) private pure {
        require(given >= least && given <= most, TimeOutOfBounds(given, least, most));
    }
}
