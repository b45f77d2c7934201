// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {IPayToken} from "../src/IPayToken.sol";
import {Licenses} from "../src/Licenses.sol";
import {Authorization, Money} from "../src/Money.sol";
import {ISplit} from "../src/ISplit.sol";
import {FeeToken, MarketFixture, ReentrantToken} from "./MarketFixture.sol";

abstract contract LicensesFixture is MarketFixture {
    bytes32 internal constant AGE_KEY = keccak256("age recipient");
    uint64 internal constant MOST = 5 * 365 days;

    function _offer() internal view returns (Licenses.Offer memory) {
        return Licenses.Offer({
            token: IPayToken(address(token)),
            price: 100e6,
            mode: Licenses.Mode.Release,
            duration: 30 days,
            closesAt: uint64(START) + 7 days,
            scopeRoot: keccak256("scope"),
            purposeHash: keccak256("purpose"),
            codeHash: 0,
            splitKey: KEY
        });
    }

    function _terms() internal view returns (Licenses.Terms memory) {
        return Licenses.Terms({
            grantee: stranger,
            granteeKey: AGE_KEY,
            mode: Licenses.Mode.Release,
            scopeRoot: keccak256("scope"),
            purposeHash: keccak256("purpose"),
            codeHash: 0,
            decision: keccak256("proposal"),
            salt: 0
        });
    }

    function _order() internal view returns (Licenses.Order memory) {
        return Licenses.Order(stranger, AGE_KEY, "first");
    }

    function _approve(Licenses.Offer memory offer) internal returns (bytes32) {
        vm.prank(owner);
        licenses.approveOffer(offer);
        return licenses.offerId(offer);
    }

    function _grant(Licenses.Terms memory terms, uint64 expiry) internal returns (bytes32) {
        vm.prank(owner);
        return licenses.grant(terms, expiry);
    }

    function _buy(Licenses.Offer memory offer, Licenses.Order memory order) internal returns (bytes32) {
        vm.prank(buyer);
        return licenses.order(offer, order);
    }

    function _assertGrant(bytes32 id, address grantee, uint64 expiry, Licenses.State state) internal view {
        Licenses.Grant memory known = licenses.grantOf(id);
        vm.assertEq(known.grantee, grantee);
        vm.assertEq(known.expiry, expiry);
        vm.assertEq(uint256(known.mode), uint256(Licenses.Mode.Release));
        vm.assertEq(uint256(known.state), uint256(state));
    }
}

contract OffersTest is LicensesFixture {
    function _refuse(Licenses.Offer memory offer, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(owner);
        licenses.approveOffer(offer);
        vm.assertFalse(licenses.isOpen(licenses.offerId(offer)));
    }

    function test_the_owner_approves_an_offer_and_closes_it() public {
        Licenses.Offer memory offer = _offer();
        bytes32 id = keccak256(abi.encode(block.chainid, address(licenses), offer));
        vm.expectEmit(address(licenses));
        emit Licenses.OfferApproved(id, offer);
        vm.assertEq(_approve(offer), id);
        vm.assertTrue(licenses.isOpen(id));
        vm.expectEmit(address(licenses));
        emit Licenses.OfferClosed(id);
        vm.prank(owner);
        licenses.closeOffer(id);
        vm.assertFalse(licenses.isOpen(id));
    }

    function test_only_the_owner_approves_and_closes() public {
        vm.expectRevert(_notOwner(stranger));
        vm.prank(stranger);
        licenses.approveOffer(_offer());
        bytes32 id = _approve(_offer());
        vm.expectRevert(_notOwner(stranger));
        vm.prank(stranger);
        licenses.closeOffer(id);
    }

    function test_an_offer_is_approved_once_while_it_is_open() public {
        bytes32 id = _approve(_offer());
        vm.expectRevert(abi.encodeWithSelector(Licenses.OfferKnown.selector, id));
        _approve(_offer());
        vm.prank(owner);
        licenses.closeOffer(id);
        vm.expectRevert(abi.encodeWithSelector(Licenses.OfferNotOpen.selector, id));
        vm.prank(owner);
        licenses.closeOffer(id);
        vm.assertEq(_approve(_offer()), id);
    }

    function test_an_offer_has_price_mode_scope_and_purpose() public {
        Licenses.Offer memory offer = _offer();
        offer.price = 0;
        _refuse(offer, abi.encodeWithSelector(Licenses.ZeroAmount.selector));
        offer = _offer();
        offer.mode = Licenses.Mode.None;
        _refuse(offer, abi.encodeWithSelector(Licenses.ModeRequired.selector));
        offer = _offer();
        offer.scopeRoot = 0;
        _refuse(offer, abi.encodeWithSelector(Licenses.ZeroHash.selector));
        offer = _offer();
        offer.purposeHash = 0;
        _refuse(offer, abi.encodeWithSelector(Licenses.ZeroHash.selector));
    }

    function test_compute_names_code_and_only_compute() public {
        Licenses.Offer memory offer = _offer();
        offer.codeHash = "code";
        _refuse(offer, abi.encodeWithSelector(Licenses.CodeMismatch.selector, Licenses.Mode.Release, bytes32("code")));
        offer.mode = Licenses.Mode.Compute;
        _approve(offer);
        offer.codeHash = 0;
        _refuse(offer, abi.encodeWithSelector(Licenses.CodeMismatch.selector, Licenses.Mode.Compute, bytes32(0)));
    }

    function test_the_times_of_an_offer_have_bounds() public {
        Licenses.Offer memory offer = _offer();
        offer.duration = 0;
        _refuse(offer, abi.encodeWithSelector(Licenses.TimeOutOfBounds.selector, 0, 1, MOST));
        offer.duration = MOST + 1;
        _refuse(offer, abi.encodeWithSelector(Licenses.TimeOutOfBounds.selector, MOST + 1, 1, MOST));
        offer.duration = MOST;
        offer.closesAt = uint64(START);
        _refuse(offer, abi.encodeWithSelector(Licenses.TimeOutOfBounds.selector, START, START + 1, type(uint64).max));
        offer.closesAt = uint64(START) + 1;
        _approve(offer);
    }

    function test_an_offer_is_in_a_token_that_is_open() public {
        Licenses.Offer memory offer = _offer();
        vm.prank(owner);
        split.setToken(token, false);
        _refuse(offer, abi.encodeWithSelector(Licenses.TokenNotAllowed.selector, address(token)));
    }

    function test_licenses_have_a_split() public {
        vm.expectRevert(Licenses.ZeroAddress.selector);
        new Licenses(owner, ISplit(address(0)));
        vm.assertEq(address(licenses.split()), address(split));
        vm.assertEq(licenses.owner(), owner);
    }
}

contract OrdersTest is LicensesFixture {
    Licenses private _other;

    function setUp() public override {
        super.setUp();
        _other = new Licenses(owner, split);
        _setShares(KEY, _shares(provider, 700_000, stranger, 100_000));
    }

    function _buySigned(Licenses.Offer memory offer, Licenses.Order memory order, Authorization memory authorization)
        private
        returns (bytes32)
    {
        vm.prank(stranger);
        return licenses.orderByAuthorization(offer, order, buyer, authorization);
    }

    function _signedOrder(Licenses.Offer memory offer, Licenses.Order memory order)
        private
        view
        returns (Authorization memory)
    {
        return _authorize(BUYER_KEY, address(licenses), offer.price, licenses.orderId(offer, order));
    }

    function test_an_order_by_allowance_pays_the_split_and_grants() public {
        bytes32 offerId = _approve(_offer());
        bytes32 id = licenses.orderId(_offer(), _order());
        Licenses.Terms memory terms = _terms();
        (terms.decision, terms.salt) = (offerId, "first");
        vm.expectEmit(address(licenses));
        emit Licenses.Granted(id, stranger, offerId, terms, uint64(START) + 30 days, 100e6);
        vm.expectEmit(address(licenses));
        emit Licenses.Ordered(id, offerId, buyer, address(token), 100e6);
        vm.assertEq(_buy(_offer(), _order()), id);
        vm.assertEq(licenses.grantId(terms), id);
        _assertGrant(id, stranger, uint64(START) + 30 days, Licenses.State.Active);
        vm.assertTrue(licenses.isActive(id));
        vm.assertEq(token.balanceOf(buyer), MONEY - 100e6);
        vm.assertEq(token.balanceOf(address(licenses)), 0);
        vm.assertEq(token.allowance(address(licenses), address(split)), 0);
        vm.assertEq(split.creditOf(token, provider), 70e6);
        vm.assertEq(split.creditOf(token, stranger), 10e6);
        vm.assertEq(split.creditOf(token, treasury), 20e6);
    }

    function test_an_order_by_authorization_is_sent_by_anyone_and_paid_by_its_signer() public {
        bytes32 offerId = _approve(_offer());
        bytes32 id = licenses.orderId(_offer(), _order());
        Authorization memory authorization = _signedOrder(_offer(), _order());
        vm.expectEmit(address(licenses));
        emit Licenses.Ordered(id, offerId, buyer, address(token), 100e6);
        vm.assertEq(_buySigned(_offer(), _order(), authorization), id);
        _assertGrant(id, stranger, uint64(START) + 30 days, Licenses.State.Active);
        vm.assertEq(token.balanceOf(buyer), MONEY - 100e6);
        vm.assertEq(split.totalCredits(token), 100e6);
        vm.assertTrue(token.authorizationState(buyer, id));
    }

    function test_an_authorization_is_good_for_one_order() public {
        _approve(_offer());
        Authorization memory authorization = _signedOrder(_offer(), _order());
        bytes32 id = _buySigned(_offer(), _order(), authorization);
        vm.expectRevert(abi.encodeWithSelector(Licenses.GrantKnown.selector, id, Licenses.State.Active));
        _buySigned(_offer(), _order(), authorization);
        vm.assertEq(split.totalCredits(token), 100e6);
    }

    function test_an_authorization_is_not_good_for_another_offer() public {
        _approve(_offer());
        Authorization memory authorization = _signedOrder(_offer(), _order());
        Licenses.Offer memory other = _offer();
        other.scopeRoot = keccak256("more");
        _approve(other);
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        _buySigned(other, _order(), authorization);
        other = _offer();
        other.price += 1;
        _approve(other);
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        _buySigned(other, _order(), authorization);
        vm.assertEq(split.totalCredits(token), 0);
    }

    function test_an_authorization_is_not_good_for_another_grantee_key_or_salt(
        address grantee,
        bytes32 key,
        bytes32 salt
    ) public {
        vm.assume(grantee != address(0) && key != 0);
        vm.assume(grantee != stranger || key != AGE_KEY || salt != "first");
        _approve(_offer());
        Authorization memory authorization = _signedOrder(_offer(), _order());
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        _buySigned(_offer(), Licenses.Order(grantee, key, salt), authorization);
    }

    function test_an_authorization_is_not_good_at_another_contract() public {
        _approve(_offer());
        Authorization memory authorization = _signedOrder(_offer(), _order());
        vm.prank(owner);
        _other.approveOffer(_offer());
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        _other.orderByAuthorization(_offer(), _order(), buyer, authorization);
    }

    function test_an_authorization_is_not_good_on_another_chain() public {
        _approve(_offer());
        Authorization memory authorization = _signedOrder(_offer(), _order());
        vm.chainId(31337);
        _approve(_offer());
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        _buySigned(_offer(), _order(), authorization);
    }

    function test_an_approval_is_not_good_on_another_chain() public {
        _approve(_offer());
        vm.chainId(31337);
        bytes32 id = licenses.offerId(_offer());
        vm.expectRevert(abi.encodeWithSelector(Licenses.OfferNotOpen.selector, id));
        _buy(_offer(), _order());
    }

    function test_an_order_is_bought_once() public {
        _approve(_offer());
        bytes32 id = _buy(_offer(), _order());
        vm.expectRevert(abi.encodeWithSelector(Licenses.GrantKnown.selector, id, Licenses.State.Active));
        _buy(_offer(), _order());
        Licenses.Order memory again = _order();
        again.salt = "second";
        _buy(_offer(), again);
        vm.assertEq(split.totalCredits(token), 200e6);
    }

    function test_an_offer_that_was_not_approved_or_was_changed_is_refused() public {
        bytes32 id = licenses.offerId(_offer());
        vm.expectRevert(abi.encodeWithSelector(Licenses.OfferNotOpen.selector, id));
        _buy(_offer(), _order());
        _approve(_offer());
        Licenses.Offer memory cheaper = _offer();
        cheaper.price = 1;
        id = licenses.offerId(cheaper);
        vm.expectRevert(abi.encodeWithSelector(Licenses.OfferNotOpen.selector, id));
        _buy(cheaper, _order());
    }

    function test_an_expired_offer_is_refused() public {
        bytes32 id = _approve(_offer());
        Authorization memory authorization = _signedOrder(_offer(), _order());
        uint256 end = START + 7 days;
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(Licenses.OfferExpired.selector, id, end, end));
        _buy(_offer(), _order());
        vm.expectRevert(abi.encodeWithSelector(Licenses.OfferExpired.selector, id, end, end));
        _buySigned(_offer(), _order(), authorization);
        vm.warp(end - 1);
        _buy(_offer(), _order());
    }

    function test_a_closed_offer_is_refused_and_its_licenses_stay() public {
        bytes32 offerId = _approve(_offer());
        bytes32 id = _buy(_offer(), _order());
        vm.prank(owner);
        licenses.closeOffer(offerId);
        Licenses.Order memory again = _order();
        again.salt = "second";
        vm.expectRevert(abi.encodeWithSelector(Licenses.OfferNotOpen.selector, offerId));
        _buy(_offer(), again);
        vm.assertTrue(licenses.isActive(id));
    }

    function test_no_order_is_taken_in_a_token_that_is_ending() public {
        _approve(_offer());
        vm.prank(owner);
        split.setToken(token, false);
        vm.expectRevert(abi.encodeWithSelector(Licenses.TokenNotAllowed.selector, address(token)));
        _buy(_offer(), _order());
    }

    function test_an_order_names_a_grantee_with_a_key() public {
        _approve(_offer());
        vm.expectRevert(Licenses.ZeroAddress.selector);
        _buy(_offer(), Licenses.Order(address(0), AGE_KEY, 0));
        vm.expectRevert(abi.encodeWithSelector(Licenses.KeyRequired.selector, Licenses.Mode.Release));
        _buy(_offer(), Licenses.Order(stranger, 0, 0));
        Licenses.Offer memory api = _offer();
        api.mode = Licenses.Mode.Api;
        _approve(api);
        _buy(api, Licenses.Order(stranger, 0, 0));
    }

    function test_who_cannot_pay_gets_nothing() public {
        _approve(_offer());
        vm.expectPartialRevert(bytes4(keccak256("ERC20InsufficientAllowance(address,uint256,uint256)")));
        licenses.order(_offer(), _order());
        _assertNothing(licenses.orderId(_offer(), _order()));
    }

    function _assertNothing(bytes32 id) private view {
        vm.assertEq(uint256(licenses.grantOf(id).state), 0);
        vm.assertEq(split.totalCredits(token), 0);
    }

    function test_a_token_that_takes_a_fee_is_refused() public {
        _setToken(new FeeToken(address(this)));
        _approve(_offer());
        vm.expectRevert(abi.encodeWithSelector(Money.AmountDiffers.selector, 100e6 - 1, 100e6));
        _buy(_offer(), _order());
        Authorization memory authorization = _signedOrder(_offer(), _order());
        vm.expectRevert(abi.encodeWithSelector(Money.AmountDiffers.selector, 100e6 - 1, 100e6));
        _buySigned(_offer(), _order(), authorization);
        _assertNothing(licenses.orderId(_offer(), _order()));
    }

    function test_a_hostile_token_cannot_come_back() public {
        ReentrantToken hostile = new ReentrantToken(address(this));
        _setToken(hostile);
        _approve(_offer());
        Licenses.Order memory again = _order();
        again.salt = "second";
        hostile.arm(address(licenses), abi.encodeCall(licenses.order, (_offer(), again)));
        _buy(_offer(), _order());
        vm.assertFalse(hostile.reentered());
        vm.assertEq(keccak256(hostile.refusal()), REENTERED);
        Authorization memory authorization = _signedOrder(_offer(), again);
        hostile.arm(address(licenses), abi.encodeCall(licenses.order, (_offer(), _order())));
        _buySigned(_offer(), again, authorization);
        vm.assertFalse(hostile.reentered());
        vm.assertEq(keccak256(hostile.refusal()), REENTERED);
    }

    function test_any_price_is_split_exactly(uint128 price) public {
        Licenses.Offer memory offer = _offer();
        offer.price = uint128(_within(price, 1, MONEY));
        _approve(offer);
        _buy(offer, _order());
        vm.assertEq(
            split.creditOf(token, provider) + split.creditOf(token, stranger) + split.creditOf(token, treasury),
            offer.price
        );
        vm.assertEq(token.balanceOf(address(split)), offer.price);
    }
}

contract GrantsTest is LicensesFixture {
    function _refuse(Licenses.Terms memory terms, uint64 expiry, bytes memory reason) private {
        vm.expectRevert(reason);
        _grant(terms, expiry);
        vm.assertEq(uint256(licenses.grantOf(licenses.grantId(terms)).state), 0);
    }

    function test_the_owner_grants_and_keepers_check_the_event_against_storage() public {
        Licenses.Terms memory terms = _terms();
        bytes32 id = keccak256(abi.encode(block.chainid, address(licenses), terms));
        vm.expectEmit(address(licenses));
        emit Licenses.Granted(id, stranger, terms.decision, terms, uint64(START) + 1 days, 0);
        vm.assertEq(_grant(terms, uint64(START) + 1 days), id);
        _assertGrant(id, stranger, uint64(START) + 1 days, Licenses.State.Active);
    }

    function test_whatever_is_changed_in_the_terms_has_another_id(uint8 field, bytes32 value) public view {
        Licenses.Terms memory terms = _terms();
        bytes32 id = licenses.grantId(terms);
        field = uint8(_within(field, 0, 6));
        vm.assume(value != 0);
        if (field == 0) terms.granteeKey ^= value;
        if (field == 1) terms.scopeRoot ^= value;
        if (field == 2) terms.purposeHash ^= value;
        if (field == 3) terms.codeHash ^= value;
        if (field == 4) terms.decision ^= value;
        if (field == 5) terms.salt ^= value;
        if (field == 6) terms.grantee = address(uint160(uint256(value) >> 97));
        vm.assertTrue(licenses.grantId(terms) != id);
        terms = _terms();
        terms.mode = Licenses.Mode.Api;
        vm.assertTrue(licenses.grantId(terms) != id);
    }

    function test_only_the_owner_grants_and_revokes() public {
        vm.expectRevert(_notOwner(stranger));
        vm.prank(stranger);
        licenses.grant(_terms(), uint64(START) + 1 days);
        bytes32 id = _grant(_terms(), uint64(START) + 1 days);
        vm.expectRevert(_notOwner(stranger));
        vm.prank(stranger);
        licenses.revoke(id);
    }

    function test_a_grant_counts_until_its_expiry() public {
        bytes32 id = _grant(_terms(), uint64(START) + 1 days);
        vm.warp(START + 1 days - 1);
        vm.assertTrue(licenses.isActive(id));
        vm.warp(START + 1 days);
        vm.assertFalse(licenses.isActive(id));
        vm.assertFalse(licenses.isActive("unknown"));
    }

    function test_a_grant_has_bounds_in_time() public {
        bytes memory reason = abi.encodeWithSelector(Licenses.TimeOutOfBounds.selector, START, START + 1, START + MOST);
        _refuse(_terms(), uint64(START), reason);
        reason = abi.encodeWithSelector(Licenses.TimeOutOfBounds.selector, START + MOST + 1, START + 1, START + MOST);
        _refuse(_terms(), uint64(START) + MOST + 1, reason);
        _grant(_terms(), uint64(START) + MOST);
        Licenses.Terms memory short = _terms();
        short.salt = "short";
        vm.assertTrue(licenses.isActive(_grant(short, uint64(START) + 1)));
    }

    function test_a_grant_names_grantee_key_mode_scope_purpose_and_decision() public {
        Licenses.Terms memory terms = _terms();
        uint64 expiry = uint64(START) + 1 days;
        terms.grantee = address(0);
        _refuse(terms, expiry, abi.encodeWithSelector(Licenses.ZeroAddress.selector));
        terms = _terms();
        terms.granteeKey = 0;
        _refuse(terms, expiry, abi.encodeWithSelector(Licenses.KeyRequired.selector, Licenses.Mode.Release));
        terms = _terms();
        terms.mode = Licenses.Mode.None;
        _refuse(terms, expiry, abi.encodeWithSelector(Licenses.ModeRequired.selector));
        terms = _terms();
        terms.scopeRoot = 0;
        _refuse(terms, expiry, abi.encodeWithSelector(Licenses.ZeroHash.selector));
        terms = _terms();
        terms.purposeHash = 0;
        _refuse(terms, expiry, abi.encodeWithSelector(Licenses.ZeroHash.selector));
        terms = _terms();
        terms.decision = 0;
        _refuse(terms, expiry, abi.encodeWithSelector(Licenses.ZeroHash.selector));
        terms = _terms();
        terms.mode = Licenses.Mode.Compute;
        _refuse(
            terms, expiry, abi.encodeWithSelector(Licenses.CodeMismatch.selector, Licenses.Mode.Compute, bytes32(0))
        );
        (terms.codeHash, terms.granteeKey) = ("code", 0);
        _refuse(terms, expiry, abi.encodeWithSelector(Licenses.KeyRequired.selector, Licenses.Mode.Compute));
    }

    function test_a_revoked_grant_stays_revoked() public {
        bytes32 id = _grant(_terms(), uint64(START) + 1 days);
        vm.expectEmit(address(licenses));
        emit Licenses.Revoked(id);
        vm.prank(owner);
        licenses.revoke(id);
        _assertGrant(id, stranger, uint64(START) + 1 days, Licenses.State.Revoked);
        vm.assertFalse(licenses.isActive(id));
        vm.expectRevert(abi.encodeWithSelector(Licenses.GrantNotActive.selector, id, Licenses.State.Revoked));
        vm.prank(owner);
        licenses.revoke(id);
        vm.expectRevert(abi.encodeWithSelector(Licenses.GrantKnown.selector, id, Licenses.State.Revoked));
        _grant(_terms(), uint64(START) + 2 days);
    }

    function test_what_was_never_granted_is_not_revoked() public {
        vm.expectRevert(abi.encodeWithSelector(Licenses.GrantNotActive.selector, bytes32("none"), Licenses.State.None));
        vm.prank(owner);
        licenses.revoke("none");
    }
}
