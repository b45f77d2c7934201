// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Channels} from "../src/Channels.sol";
import {Erc3009Collector} from "../src/Erc3009Collector.sol";
import {CHANNELS} from "../src/Addresses.sol";
import {ChannelsFixture, Places} from "./ChannelsFixture.sol";
import {CallingToken, FeeToken, SenderFeeToken, ShamCollector, Wallet} from "./ChannelsPeers.sol";

contract ChannelsTest is ChannelsFixture {
    bytes4 private constant REENTERED = ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;

    function _state(Channels.ChannelConfig memory config, uint256 balance, uint256 claimed) private view {
        (uint128 hasBalance, uint128 hasClaimed) = hub.channels(_id(config));
        vm.assertEq(hasBalance, balance, "balance");
        vm.assertEq(hasClaimed, claimed, "claimed");
    }

    function _pending(Channels.ChannelConfig memory config, uint256 amount, uint256 initiatedAt) private view {
        (uint128 has, uint40 since) = hub.pendingWithdrawals(_id(config));
        vm.assertEq(has, amount, "pending");
        vm.assertEq(since, initiatedAt, "initiated at");
    }

    function _initiate(Channels.ChannelConfig memory config, uint128 amount) private {
        vm.prank(payer);
        hub.initiateWithdraw(config, amount);
    }

    function _exit(Channels.ChannelConfig memory config, uint128 amount) private {
        _initiate(config, amount);
        vm.warp(block.timestamp + DELAY);
        vm.prank(payer);
        hub.finalizeWithdraw(config);
    }

    function _refund(Channels.ChannelConfig memory config, uint128 amount) private {
        vm.prank(authorizer);
        hub.refund(config, amount);
    }

    // Deposits

    function test_the_first_deposit_makes_the_channel_and_tells_what_it_is() public {
        Channels.ChannelConfig memory config = _config(1);
        bytes memory data = _authorisation(PAYER_KEY, _id(config), 5e6, 1);
        vm.expectEmit(CHANNELS);
        emit Channels.ChannelCreated(_id(config), config);
        vm.expectEmit(CHANNELS);
        emit Channels.Deposited(_id(config), payer, receiver, address(token), 5e6, 5e6);
        vm.prank(stranger);
        hub.deposit(config, 5e6, ERC3009_COLLECTOR, data);
        _state(config, 5e6, 0);
        vm.assertEq(token.balanceOf(CHANNELS), 5e6);
        vm.assertEq(token.balanceOf(ERC3009_COLLECTOR), 0);
        vm.assertEq(token.balanceOf(payer), 1_000_000e6 - 5e6);
    }

    function test_later_deposits_add_up() public {
        Channels.ChannelConfig memory config = _config(1);
        _deposit(config, 5e6, 1);
        vm.expectEmit(CHANNELS);
        emit Channels.Deposited(_id(config), payer, receiver, address(token), 2e6, 7e6);
        _deposit(config, 2e6, 2);
        _state(config, 7e6, 0);
        _claim(config, 7e6);
        places.recordLogs();
        _deposit(config, 1e6, 3);
        Places.Log[] memory logs = places.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            vm.assertFalse(logs[i].topics[0] == Channels.ChannelCreated.selector);
        }
    }

    function test_a_deposit_of_nothing_is_refused() public {
        vm.expectRevert(Channels.ZeroAmount.selector);
        hub.deposit(_config(1), 0, ERC3009_COLLECTOR, "");
    }

    function test_a_channel_needs_payer_receiver_authorizer_and_token() public {
        for (uint256 i = 0; i < 4; ++i) {
            Channels.ChannelConfig memory config = _config(1);
            if (i == 0) config.payer = address(0);
            if (i == 1) config.receiver = address(0);
            if (i == 2) config.receiverAuthorizer = address(0);
            if (i == 3) config.token = address(0);
            vm.expectRevert(
                abi.encodeWithSelector(
                    Channels.ZeroAddress.selector,
                    config.payer,
                    config.receiver,
                    config.receiverAuthorizer,
                    config.token
                )
            );
            hub.deposit(config, 1, ERC3009_COLLECTOR, "");
        }
    }

    function test_withdraw_delays_are_fifteen_minutes_to_thirty_days() public {
        Channels.ChannelConfig memory config = _config(1);
        uint40[2] memory right = [uint40(900), 2_592_000];
        for (uint256 i = 0; i < 2; ++i) {
            config.withdrawDelay = right[i];
            _deposit(config, 1, i);
            _state(config, 1, 0);
        }
        uint40[4] memory wrong = [uint40(0), 899, 2_592_001, type(uint40).max];
        for (uint256 i = 0; i < 4; ++i) {
            config.withdrawDelay = wrong[i];
            vm.expectRevert(abi.encodeWithSelector(Channels.WithdrawDelayOutOfRange.selector, wrong[i], 900, 2_592_000));
            hub.deposit(config, 1, ERC3009_COLLECTOR, "");
        }
    }

    function test_an_authorisation_brings_money_into_its_own_channel_only() public {
        bytes memory data = _authorisation(PAYER_KEY, _id(_config(1)), 5e6, 1);
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        hub.deposit(_config(2), 5e6, ERC3009_COLLECTOR, data);
    }

    function test_an_authorisation_brings_its_own_amount_only() public {
        bytes memory data = _authorisation(PAYER_KEY, _id(_config(1)), 5e6, 1);
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        hub.deposit(_config(1), 5e6 + 1, ERC3009_COLLECTOR, data);
    }

    function test_an_authorisation_is_good_once() public {
        bytes memory data = _authorisation(PAYER_KEY, _id(_config(1)), 5e6, 1);
        hub.deposit(_config(1), 5e6, ERC3009_COLLECTOR, data);
        vm.expectPartialRevert(ERC3009.ERC3009UsedAuthorization.selector);
        hub.deposit(_config(1), 5e6, ERC3009_COLLECTOR, data);
    }

    function test_nobody_but_the_hub_may_make_the_collector_collect() public {
        bytes32 id = _id(_config(1));
        bytes memory data = _authorisation(PAYER_KEY, id, 5e6, 1);
        vm.expectRevert(abi.encodeWithSelector(Erc3009Collector.NotChannels.selector, address(this), CHANNELS));
        Erc3009Collector(ERC3009_COLLECTOR).collect(payer, address(token), 5e6, id, data);
    }

    function test_a_collector_that_brings_another_amount_is_refused() public {
        ShamCollector sham = new ShamCollector();
        token.drip(address(sham), 10);
        uint256[3] memory brings = [uint256(0), 2, 4];
        for (uint256 i = 0; i < 3; ++i) {
            sham.bring(brings[i], "");
            vm.expectRevert(
                abi.encodeWithSelector(Channels.ReceivedOther.selector, address(token), brings[i], uint256(3))
            );
            hub.deposit(_config(1), 3, address(sham), "");
        }
        sham.bring(3, "");
        hub.deposit(_config(1), 3, address(sham), "");
        _state(_config(1), 3, 0);
    }

    function test_a_token_that_takes_or_gives_a_fee_is_refused() public {
        (FeeToken fees, ShamCollector sham) = (new FeeToken(), new ShamCollector());
        fees.mint(address(sham), 100);
        sham.bring(10, "");
        Channels.ChannelConfig memory config = _config(1);
        config.token = address(fees);
        int256[2] memory wrong = [int256(1), -1];
        for (uint256 i = 0; i < 2; ++i) {
            fees.setFee(wrong[i]);
            uint256 received = i == 0 ? 9 : 11;
            vm.expectRevert(abi.encodeWithSelector(Channels.ReceivedOther.selector, address(fees), received, 10));
            hub.deposit(config, 10, address(sham), "");
        }
    }

    function test_a_token_that_takes_from_the_hub_what_others_own_is_refused() public {
        (SenderFeeToken fees, ShamCollector sham) = (new SenderFeeToken(), new ShamCollector());
        fees.mint(address(sham), 100);
        sham.bring(10, "");
        Channels.ChannelConfig memory config = _config(1);
        config.token = address(fees);
        hub.deposit(config, 10, address(sham), "");
        vm.expectRevert(abi.encodeWithSelector(Channels.PaidOther.selector, address(fees), 5, 4));
        vm.prank(authorizer);
        hub.refund(config, 4);
        _claim(config, 4);
        vm.expectRevert(abi.encodeWithSelector(Channels.PaidOther.selector, address(fees), 5, 4));
        hub.settle(receiver, address(fees));
    }

    function test_a_balance_cannot_run_over() public {
        (FeeToken fees, ShamCollector sham) = (new FeeToken(), new ShamCollector());
        fees.mint(address(sham), type(uint256).max);
        Channels.ChannelConfig memory config = _config(1);
        config.token = address(fees);
        sham.bring(type(uint128).max, "");
        hub.deposit(config, type(uint128).max, address(sham), "");
        sham.bring(1, "");
        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x11));
        hub.deposit(config, 1, address(sham), "");
    }

    function test_a_collector_cannot_enter_the_hub_again() public {
        ShamCollector sham = new ShamCollector();
        token.drip(address(sham), 100);
        Channels.ChannelConfig memory own = _config(9);
        (own.payer, own.receiver, own.receiverAuthorizer) = (address(sham), address(sham), address(sham));
        _deposit(_config(1), 10, 1);
        bytes[8] memory calls = [
            abi.encodeCall(hub.deposit, (own, 5, address(sham), "")),
            abi.encodeCall(hub.claim, (_rows(_row(own, 1, 1)))),
            abi.encodeCall(hub.claimWithSignature, (_rows(_row(own, 1, 1)), "")),
            abi.encodeCall(hub.settle, (address(sham), address(token))),
            abi.encodeCall(hub.initiateWithdraw, (own, 1)),
            abi.encodeCall(hub.finalizeWithdraw, (own)),
            abi.encodeCall(hub.refund, (own, 1)),
            abi.encodeCall(hub.refundWithSignature, (own, 1, 0, ""))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            sham.bring(5, calls[i]);
            hub.deposit(own, 5, address(sham), "");
            vm.assertEq(bytes4(sham.answer()), REENTERED);
        }
        _state(own, 40, 0);
    }

    // Claims

    function test_anyone_may_send_a_signed_batch_and_it_moves_no_money() public {
        _deposit(_config(1), 5e6, 1);
        _deposit(_config(2), 6e6, 2);
        Channels.VoucherClaim[] memory rows = _rows(_row(_config(1), 3e6, 2e6), _row(_config(2), 6e6, 6e6));
        bytes memory signature = _sign(AUTHORIZER_KEY, hub.getClaimBatchDigest(rows));
        vm.expectEmit(CHANNELS);
        emit Channels.Claimed(_id(_config(1)), payer, receiver, address(token), 2e6, 2e6);
        vm.expectEmit(CHANNELS);
        emit Channels.Claimed(_id(_config(2)), payer, receiver, address(token), 6e6, 6e6);
        vm.prank(stranger);
        hub.claimWithSignature(rows, signature);
        _state(_config(1), 5e6, 2e6);
        _state(_config(2), 6e6, 6e6);
        (uint128 claimed, uint128 settled) = hub.receivers(receiver, address(token));
        vm.assertEq(claimed, 8e6);
        vm.assertEq(settled, 0);
        vm.assertEq(token.balanceOf(CHANNELS), 11e6);
        vm.assertEq(token.balanceOf(receiver), 0);
    }

    function test_a_claim_adds_only_what_is_new() public {
        _deposit(_config(1), 5e6, 1);
        _claim(_config(1), 2e6);
        vm.expectEmit(CHANNELS);
        emit Channels.Claimed(_id(_config(1)), payer, receiver, address(token), 1e6, 3e6);
        _claim(_config(1), 3e6);
        (uint128 claimed,) = hub.receivers(receiver, address(token));
        vm.assertEq(claimed, 3e6);
    }

    function test_receiver_and_authorizer_claim_without_a_signature() public {
        _deposit(_config(1), 5e6, 1);
        Channels.VoucherClaim[] memory rows = _rows(_row(_config(1), 1e6, 1e6));
        vm.prank(receiver);
        hub.claim(rows);
        _state(_config(1), 5e6, 1e6);
        rows = _rows(_row(_config(1), 2e6, 2e6));
        vm.prank(authorizer);
        hub.claim(rows);
        _state(_config(1), 5e6, 2e6);
    }

    function test_nobody_else_claims_without_a_signature() public {
        _deposit(_config(1), 5e6, 1);
        Channels.VoucherClaim[] memory rows = _rows(_row(_config(1), 1e6, 1e6));
        address[3] memory others = [payer, vouchers, stranger];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Channels.NotReceiver.selector, others[i], receiver, authorizer));
            vm.prank(others[i]);
            hub.claim(rows);
        }
    }

    function test_every_row_must_be_the_caller_s() public {
        Channels.ChannelConfig memory other = _config(2);
        (other.receiver, other.receiverAuthorizer) = (stranger, stranger);
        _deposit(_config(1), 5e6, 1);
        _deposit(other, 5e6, 2);
        Channels.VoucherClaim[] memory rows = _rows(_row(_config(1), 1e6, 1e6), _row(other, 1e6, 1e6));
        vm.expectRevert(abi.encodeWithSelector(Channels.NotReceiver.selector, receiver, stranger, stranger));
        vm.prank(receiver);
        hub.claim(rows);
        bytes memory signature = _sign(AUTHORIZER_KEY, hub.getClaimBatchDigest(rows));
        vm.expectRevert(abi.encodeWithSelector(Channels.OtherAuthorizer.selector, _id(other), stranger, authorizer));
        hub.claimWithSignature(rows, signature);
        _state(_config(1), 5e6, 0);
    }

    function test_a_batch_has_rows() public {
        Channels.VoucherClaim[] memory none = new Channels.VoucherClaim[](0);
        vm.expectRevert(Channels.NoClaims.selector);
        hub.claim(none);
        vm.expectRevert(Channels.NoClaims.selector);
        hub.claimWithSignature(none, "");
    }

    function test_the_batch_must_be_signed_by_the_authorizer_row_for_row() public {
        _deposit(_config(1), 5e6, 1);
        Channels.VoucherClaim[] memory rows = _rows(_row(_config(1), 3e6, 1e6));
        bytes32 digest = hub.getClaimBatchDigest(rows);
        bytes memory wrong = abi.encodeWithSelector(Channels.InvalidAuthorizerSignature.selector, authorizer, digest);
        bytes memory signature = _sign(STRANGER_KEY, digest);
        vm.expectRevert(wrong);
        hub.claimWithSignature(rows, signature);
        Channels.VoucherClaim[] memory more = _rows(_row(_config(1), 3e6, 2e6));
        signature = _sign(AUTHORIZER_KEY, hub.getClaimBatchDigest(more));
        vm.expectRevert(wrong);
        hub.claimWithSignature(rows, signature);
        signature = _sign(AUTHORIZER_KEY, hub.getVoucherDigest(_id(_config(1)), 3e6));
        vm.expectRevert(wrong);
        hub.claimWithSignature(rows, signature);
        _state(_config(1), 5e6, 0);
    }

    function test_rows_at_or_below_the_total_are_passed_over() public {
        _deposit(_config(1), 5e6, 1);
        _deposit(_config(2), 5e6, 2);
        Channels.VoucherClaim[] memory rows = _rows(_row(_config(1), 3e6, 3e6), _row(_config(2), 1e6, 1e6));
        _claim(rows);
        places.recordLogs();
        _claim(rows);
        vm.assertEq(places.getRecordedLogs().length, 0);
        rows[0].totalClaimed = 2e6;
        rows[1] = _row(_config(2), 4e6, 4e6);
        _claim(rows);
        _state(_config(1), 5e6, 3e6);
        _state(_config(2), 5e6, 4e6);
        (uint128 claimed,) = hub.receivers(receiver, address(token));
        vm.assertEq(claimed, 7e6);
    }

    function test_a_channel_twice_in_a_batch_counts_its_highest() public {
        _deposit(_config(1), 5e6, 1);
        _claim(_rows(_row(_config(1), 1e6, 1e6), _row(_config(1), 3e6, 3e6)));
        _state(_config(1), 5e6, 3e6);
        (uint128 claimed,) = hub.receivers(receiver, address(token));
        vm.assertEq(claimed, 3e6);
    }

    function test_no_more_than_the_voucher_allows() public {
        _deposit(_config(1), 5e6, 1);
        Channels.VoucherClaim[] memory rows = _rows(_row(_config(1), 3e6, 3e6 + 1));
        vm.expectRevert(abi.encodeWithSelector(Channels.ExceedsVoucher.selector, _id(_config(1)), 3e6 + 1, 3e6));
        vm.prank(receiver);
        hub.claim(rows);
    }

    function test_no_more_than_the_channel_holds() public {
        _deposit(_config(1), 5e6, 1);
        Channels.VoucherClaim[] memory rows = _rows(_row(_config(1), 6e6, 5e6 + 1));
        vm.expectRevert(abi.encodeWithSelector(Channels.ExceedsBalance.selector, _id(_config(1)), 5e6 + 1, 5e6));
        vm.prank(receiver);
        hub.claim(rows);
        rows[0].totalClaimed = 5e6;
        vm.prank(receiver);
        hub.claim(rows);
        _state(_config(1), 5e6, 5e6);
    }

    function _notSigned(Channels.VoucherClaim memory row, Channels.ChannelConfig memory config) private {
        uint128 most = row.voucher.maxClaimableAmount;
        bytes memory wrong = abi.encodeWithSelector(Channels.InvalidVoucher.selector, _id(config), most);
        vm.expectRevert(wrong);
        vm.prank(receiver);
        hub.claim(_rows(row));
        _state(config, 5e6, 0);
    }

    function test_a_voucher_is_signed_by_the_payer_s_authorizer_alone() public {
        _deposit(_config(1), 5e6, 1);
        _notSigned(_rowBy(PAYER_KEY, _config(1), 1e6, 1e6), _config(1));
        _notSigned(_rowBy(AUTHORIZER_KEY, _config(1), 1e6, 1e6), _config(1));
        Channels.VoucherClaim memory row = _row(_config(1), 1e6, 1e6);
        row.signature = "";
        _notSigned(row, _config(1));
        row.signature = new bytes(65);
        _notSigned(row, _config(1));
    }

    function test_without_an_authorizer_the_payer_s_key_signs() public {
        Channels.ChannelConfig memory config = _config(1);
        config.payerAuthorizer = address(0);
        _deposit(config, 5e6, 1);
        _notSigned(_rowBy(VOUCHER_KEY, config, 1e6, 1e6), config);
        _claim(_rows(_rowBy(PAYER_KEY, config, 1e6, 1e6)));
        _state(config, 5e6, 1e6);
    }

    function test_without_an_authorizer_a_contract_wallet_signs_by_erc1271() public {
        Wallet wallet = new Wallet(vouchers);
        Channels.ChannelConfig memory config = _config(1);
        (config.payer, config.payerAuthorizer) = (address(wallet), address(0));
        ShamCollector sham = new ShamCollector();
        token.drip(address(sham), 5e6);
        sham.bring(5e6, "");
        hub.deposit(config, 5e6, address(sham), "");
        _notSigned(_rowBy(PAYER_KEY, config, 1e6, 1e6), config);
        _claim(_rows(_rowBy(VOUCHER_KEY, config, 1e6, 1e6)));
        _state(config, 5e6, 1e6);
    }

    function test_a_contract_may_be_the_receiver_s_authorizer() public {
        Channels.ChannelConfig memory config = _config(1);
        config.receiverAuthorizer = address(new Wallet(authorizer));
        _deposit(config, 5e6, 1);
        _claim(_rows(_row(config, 1e6, 1e6)));
        hub.refundWithSignature(config, 1e6, 0, _refundSignature(config, 1e6, 0));
        _state(config, 4e6, 1e6);
        Wallet(config.receiverAuthorizer).setSigner(stranger);
        bytes memory signature = _refundSignature(config, 1e6, 1);
        vm.expectPartialRevert(Channels.InvalidAuthorizerSignature.selector);
        hub.refundWithSignature(config, 1e6, 1, signature);
    }

    // Attacks by vouchers from elsewhere

    function test_a_voucher_of_another_chain_counts_nothing() public {
        Channels.ChannelConfig memory config = _config(1);
        _deposit(config, 5e6, 1);
        vm.chainId(1);
        bytes32 elsewhere = _id(config);
        Channels.VoucherClaim memory row = _row(config, 1e6, 1e6);
        vm.chainId(CHAIN);
        vm.assertFalse(elsewhere == _id(config));
        _notSigned(row, config);
    }

    function test_a_fork_leaves_old_signatures_and_channels_behind() public {
        Channels.ChannelConfig memory config = _config(1);
        _deposit(config, 5e6, 1);
        Channels.VoucherClaim[] memory rows = _rows(_row(config, 1e6, 1e6));
        bytes memory batch = _sign(AUTHORIZER_KEY, hub.getClaimBatchDigest(rows));
        bytes memory back = _refundSignature(config, 1e6, 0);
        vm.chainId(CHAIN + 1);
        vm.expectPartialRevert(Channels.ExceedsBalance.selector);
        hub.claimWithSignature(rows, batch);
        vm.expectPartialRevert(Channels.InvalidAuthorizerSignature.selector);
        hub.refundWithSignature(config, 1e6, 0, back);
        vm.chainId(CHAIN);
        hub.claimWithSignature(rows, batch);
        hub.refundWithSignature(config, 1e6, 0, back);
        _state(config, 4e6, 1e6);
    }

    function test_a_voucher_for_another_contract_counts_nothing() public {
        Channels.ChannelConfig memory config = _config(1);
        _deposit(config, 5e6, 1);
        Channels twin = new Channels();
        bytes memory signature = _sign(VOUCHER_KEY, twin.getVoucherDigest(twin.getChannelId(config), 1e6));
        _notSigned(Channels.VoucherClaim(Channels.Voucher(config, 1e6), signature, 1e6), config);
        signature = _sign(VOUCHER_KEY, twin.getVoucherDigest(_id(config), 1e6));
        _notSigned(Channels.VoucherClaim(Channels.Voucher(config, 1e6), signature, 1e6), config);
    }

    function test_a_voucher_of_another_channel_counts_nothing() public {
        _deposit(_config(1), 5e6, 1);
        _deposit(_config(2), 5e6, 2);
        Channels.VoucherClaim memory row = _row(_config(2), 1e6, 1e6);
        row.voucher.channel = _config(1);
        _notSigned(row, _config(1));
    }

    function test_a_voucher_s_amount_cannot_be_raised() public {
        _deposit(_config(1), 5e6, 1);
        Channels.VoucherClaim memory row = _row(_config(1), 1e6, 2e6);
        row.voucher.maxClaimableAmount = 2e6;
        _notSigned(row, _config(1));
    }

    function test_an_older_lower_voucher_takes_nothing_back() public {
        _deposit(_config(1), 5e6, 1);
        Channels.VoucherClaim[] memory old = _rows(_row(_config(1), 1e6, 1e6));
        _claim(_config(1), 4e6);
        vm.prank(receiver);
        hub.claim(old);
        _state(_config(1), 5e6, 4e6);
    }

    function test_any_other_field_is_another_channel() public view {
        bytes32[8] memory ids;
        for (uint256 i = 0; i < 8; ++i) {
            Channels.ChannelConfig memory config = _config(1);
            if (i == 1) config.payer = stranger;
            if (i == 2) config.payerAuthorizer = stranger;
            if (i == 3) config.receiver = stranger;
            if (i == 4) config.receiverAuthorizer = stranger;
            if (i == 5) config.token = stranger;
            if (i == 6) config.withdrawDelay = DELAY + 1;
            if (i == 7) config.salt = bytes32(uint256(2));
            ids[i] = _id(config);
            for (uint256 j = 0; j < i; ++j) {
                vm.assertFalse(ids[i] == ids[j]);
            }
        }
    }

    function test_a_malleable_signature_is_refused() public {
        _deposit(_config(1), 5e6, 1);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(VOUCHER_KEY, hub.getVoucherDigest(_id(_config(1)), 1e6));
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        bytes memory other = abi.encodePacked(r, bytes32(order - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        _notSigned(Channels.VoucherClaim(Channels.Voucher(_config(1), 1e6), other, 1e6), _config(1));
    }

    function test_dirty_bits_make_no_second_channel() public {
        Channels.ChannelConfig memory config = _config(1);
        bytes memory data = _authorisation(PAYER_KEY, _id(config), 5e6, 1);
        bytes memory call = abi.encodeCall(hub.deposit, (config, 5e6, ERC3009_COLLECTOR, data));
        for (uint256 field = 0; field < 6; ++field) {
            bytes memory dirty = bytes.concat(call);
            dirty[4 + 32 * field] = 0x01;
            (bool done,) = CHANNELS.call(dirty);
            vm.assertFalse(done);
        }
        (bool clean,) = CHANNELS.call(call);
        vm.assertTrue(clean);
    }

    // Settling

    function test_settling_pays_all_that_was_claimed_once() public {
        _deposit(_config(1), 5e6, 1);
        _deposit(_config(2), 5e6, 2);
        _claim(_config(1), 1e6);
        _claim(_config(2), 3e6);
        vm.expectEmit(CHANNELS);
        emit Channels.Settled(receiver, address(token), stranger, 4e6);
        vm.prank(stranger);
        hub.settle(receiver, address(token));
        vm.assertEq(token.balanceOf(receiver), 4e6);
        hub.settle(receiver, address(token));
        vm.assertEq(token.balanceOf(receiver), 4e6);
        _claim(_config(1), 2e6);
        hub.settle(receiver, address(token));
        vm.assertEq(token.balanceOf(receiver), 5e6);
        (uint128 claimed, uint128 settled) = hub.receivers(receiver, address(token));
        vm.assertEq(claimed, 5e6);
        vm.assertEq(settled, 5e6);
    }

    function test_settling_nothing_does_nothing() public {
        _deposit(_config(1), 5e6, 1);
        places.recordLogs();
        hub.settle(receiver, address(token));
        hub.settle(receiver, address(0xDEAD));
        vm.assertEq(places.getRecordedLogs().length, 0);
        vm.assertEq(token.balanceOf(CHANNELS), 5e6);
    }

    function test_settling_one_token_leaves_the_others() public {
        (CallingToken other, ShamCollector sham) = (new CallingToken(), new ShamCollector());
        other.mint(address(sham), 10);
        sham.bring(10, "");
        Channels.ChannelConfig memory config = _config(1);
        config.token = address(other);
        hub.deposit(config, 10, address(sham), "");
        _deposit(_config(1), 5e6, 1);
        _claim(config, 10);
        hub.settle(receiver, address(token));
        vm.assertEq(other.balanceOf(receiver), 0);
        vm.assertEq(token.balanceOf(receiver), 0);
        hub.settle(receiver, address(other));
        vm.assertEq(other.balanceOf(receiver), 10);
    }

    function test_a_token_cannot_enter_the_hub_again_while_it_is_paid_out() public {
        (CallingToken other, ShamCollector sham) = (new CallingToken(), new ShamCollector());
        other.mint(address(sham), 10);
        sham.bring(10, "");
        Channels.ChannelConfig memory config = _config(1);
        (config.token, config.receiver) = (address(other), address(other));
        hub.deposit(config, 10, address(sham), "");
        _claim(config, 2);
        other.callAtTransfer(abi.encodeCall(hub.settle, (address(other), address(other))));
        hub.settle(address(other), address(other));
        vm.assertEq(bytes4(other.answer()), REENTERED);
        other.callAtTransfer(abi.encodeCall(hub.refund, (config, 1)));
        _refund(config, 1);
        vm.assertEq(bytes4(other.answer()), REENTERED);
        vm.assertEq(other.balanceOf(CHANNELS), 7);
    }

    // Refunds

    function test_receiver_and_authorizer_refund_what_is_free() public {
        _deposit(_config(1), 5e6, 1);
        _claim(_config(1), 1e6);
        vm.expectEmit(CHANNELS);
        emit Channels.Refunded(_id(_config(1)), payer, receiver, 1e6, 4e6, 1);
        vm.prank(receiver);
        hub.refund(_config(1), 1e6);
        _refund(_config(1), 100e6);
        _state(_config(1), 1e6, 1e6);
        vm.assertEq(hub.refundNonce(_id(_config(1))), 2);
        vm.assertEq(token.balanceOf(payer), 1_000_000e6 - 1e6);
    }

    function test_nobody_else_refunds() public {
        _deposit(_config(1), 5e6, 1);
        address[3] memory others = [payer, vouchers, stranger];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Channels.NotReceiver.selector, others[i], receiver, authorizer));
            vm.prank(others[i]);
            hub.refund(_config(1), 1);
        }
    }

    function test_anyone_may_send_a_signed_refund_once() public {
        _deposit(_config(1), 5e6, 1);
        bytes memory signature = _refundSignature(_config(1), 2e6, 0);
        vm.prank(stranger);
        hub.refundWithSignature(_config(1), 2e6, 0, signature);
        _state(_config(1), 3e6, 0);
        vm.expectRevert(abi.encodeWithSelector(Channels.WrongRefundNonce.selector, _id(_config(1)), 0, 1));
        hub.refundWithSignature(_config(1), 2e6, 0, signature);
        vm.expectPartialRevert(Channels.InvalidAuthorizerSignature.selector);
        hub.refundWithSignature(_config(1), 2e6, 1, signature);
        _state(_config(1), 3e6, 0);
    }

    function test_a_signed_refund_is_for_its_amount_and_channel() public {
        _deposit(_config(1), 5e6, 1);
        _deposit(_config(2), 5e6, 2);
        bytes memory signature = _refundSignature(_config(1), 2e6, 0);
        vm.expectPartialRevert(Channels.InvalidAuthorizerSignature.selector);
        hub.refundWithSignature(_config(1), 3e6, 0, signature);
        vm.expectPartialRevert(Channels.InvalidAuthorizerSignature.selector);
        hub.refundWithSignature(_config(2), 2e6, 0, signature);
        signature = _sign(STRANGER_KEY, hub.getRefundDigest(_id(_config(1)), 0, 2e6));
        vm.expectPartialRevert(Channels.InvalidAuthorizerSignature.selector);
        hub.refundWithSignature(_config(1), 2e6, 0, signature);
    }

    function test_a_refund_of_nothing_is_refused() public {
        _deposit(_config(1), 5e6, 1);
        vm.expectRevert(Channels.ZeroAmount.selector);
        vm.prank(receiver);
        hub.refund(_config(1), 0);
    }

    function test_a_refund_where_nothing_is_free_uses_its_nonce_and_moves_nothing() public {
        _deposit(_config(1), 5e6, 1);
        _claim(_config(1), 5e6);
        bytes memory signature = _refundSignature(_config(1), 1e6, 0);
        vm.expectEmit(CHANNELS);
        emit Channels.Refunded(_id(_config(1)), payer, receiver, 0, 5e6, 1);
        places.recordLogs();
        hub.refundWithSignature(_config(1), 1e6, 0, signature);
        vm.assertEq(places.getRecordedLogs().length, 1);
        _state(_config(1), 5e6, 5e6);
        vm.assertEq(hub.refundNonce(_id(_config(1))), 1);
        vm.assertEq(token.balanceOf(CHANNELS), 5e6);
    }

    function test_a_refund_lessens_an_announced_exit_and_ends_it_when_nothing_is_left() public {
        _deposit(_config(1), 10e6, 1);
        _initiate(_config(1), 4e6);
        _refund(_config(1), 3e6);
        _pending(_config(1), 1e6, START);
        _refund(_config(1), 1e6);
        _pending(_config(1), 0, 0);
        _initiate(_config(1), 4e6);
        _refund(_config(1), 5e6);
        _pending(_config(1), 0, 0);
        _state(_config(1), 1e6, 0);
        _initiate(_config(1), 1e6);
    }

    function test_a_refund_of_nothing_free_leaves_an_announced_exit() public {
        _deposit(_config(1), 5e6, 1);
        _initiate(_config(1), 4e6);
        _claim(_config(1), 5e6);
        _refund(_config(1), 1e6);
        _pending(_config(1), 4e6, START);
    }

    function test_claim_and_refund_in_one_transaction() public {
        _deposit(_config(1), 5e6, 1);
        Channels.VoucherClaim[] memory rows = _rows(_row(_config(1), 2e6, 2e6));
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(hub.claimWithSignature, (rows, _sign(AUTHORIZER_KEY, hub.getClaimBatchDigest(rows))));
        calls[1] = abi.encodeCall(hub.refundWithSignature, (_config(1), 5e6, 0, _refundSignature(_config(1), 5e6, 0)));
        vm.prank(stranger);
        hub.multicall(calls);
        _state(_config(1), 2e6, 2e6);
        vm.assertEq(token.balanceOf(payer), 1_000_000e6 - 2e6);
    }

    function test_a_multicall_is_all_or_nothing_and_tells_the_reason() public {
        _deposit(_config(1), 5e6, 1);
        bytes[] memory calls = new bytes[](2);
        Channels.VoucherClaim[] memory rows = _rows(_row(_config(1), 2e6, 2e6));
        calls[0] = abi.encodeCall(hub.claim, (rows));
        calls[1] = abi.encodeCall(hub.refund, (_config(1), 0));
        vm.expectRevert(Channels.ZeroAmount.selector);
        vm.prank(receiver);
        hub.multicall(calls);
        _state(_config(1), 5e6, 0);
        calls[1] = abi.encodeCall(hub.refund, (_config(1), 1e6));
        vm.prank(receiver);
        bytes[] memory results = hub.multicall(calls);
        vm.assertEq(results.length, 2);
        _state(_config(1), 4e6, 2e6);
    }

    function test_the_hub_takes_no_ether() public {
        (bool sent,) = CHANNELS.call{value: 1}("");
        vm.assertFalse(sent);
        (sent,) = CHANNELS.call{value: 1}(abi.encodeCall(hub.multicall, (new bytes[](0))));
        vm.assertFalse(sent);
    }

    // Exits

    function test_the_payer_s_side_leaves_after_the_delay() public {
        address[2] memory side = [payer, vouchers];
        for (uint256 i = 0; i < 2; ++i) {
            Channels.ChannelConfig memory config = _config(i);
            _deposit(config, 5e6, i);
            vm.expectEmit(CHANNELS);
            emit Channels.WithdrawInitiated(_id(config), payer, receiver, 3e6, block.timestamp + DELAY);
            vm.prank(side[i]);
            hub.initiateWithdraw(config, 3e6);
            _pending(config, 3e6, block.timestamp);
            vm.warp(block.timestamp + DELAY);
            vm.expectEmit(CHANNELS);
            emit Channels.Withdrawn(_id(config), payer, receiver, 3e6, 2e6);
            vm.prank(side[i]);
            hub.finalizeWithdraw(config);
            _pending(config, 0, 0);
            _state(config, 2e6, 0);
        }
        vm.assertEq(token.balanceOf(payer), 1_000_000e6 - 4e6);
        vm.assertEq(token.balanceOf(vouchers), 0);
    }

    function test_nobody_else_announces_or_ends_an_exit() public {
        _deposit(_config(1), 5e6, 1);
        address[3] memory others = [receiver, authorizer, stranger];
        for (uint256 i = 0; i < 3; ++i) {
            bytes memory refusal = abi.encodeWithSelector(Channels.NotPayer.selector, others[i], payer, vouchers);
            vm.expectRevert(refusal);
            vm.prank(others[i]);
            hub.initiateWithdraw(_config(1), 1);
            vm.expectRevert(refusal);
            vm.prank(others[i]);
            hub.finalizeWithdraw(_config(1));
        }
    }

    function test_an_exit_is_of_what_is_free_and_not_of_nothing() public {
        _deposit(_config(1), 5e6, 1);
        _claim(_config(1), 2e6);
        vm.expectRevert(Channels.ZeroAmount.selector);
        vm.prank(payer);
        hub.initiateWithdraw(_config(1), 0);
        vm.expectRevert(abi.encodeWithSelector(Channels.ExceedsFree.selector, _id(_config(1)), 3e6 + 1, 3e6));
        vm.prank(payer);
        hub.initiateWithdraw(_config(1), 3e6 + 1);
        _initiate(_config(1), 3e6);
    }

    function test_one_exit_at_a_time_so_its_clock_cannot_be_set_back() public {
        _deposit(_config(1), 5e6, 1);
        _initiate(_config(1), 1e6);
        vm.expectRevert(abi.encodeWithSelector(Channels.WithdrawalPending.selector, _id(_config(1)), START + DELAY));
        vm.prank(vouchers);
        hub.initiateWithdraw(_config(1), 2e6);
    }

    function test_an_exit_waits_to_the_second() public {
        _deposit(_config(1), 5e6, 1);
        vm.expectRevert(abi.encodeWithSelector(Channels.NoWithdrawal.selector, _id(_config(1))));
        vm.prank(payer);
        hub.finalizeWithdraw(_config(1));
        _initiate(_config(1), 1e6);
        vm.warp(START + DELAY - 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                Channels.WithdrawDelayRunning.selector, _id(_config(1)), START + DELAY, START + DELAY - 1
            )
        );
        vm.prank(payer);
        hub.finalizeWithdraw(_config(1));
        vm.warp(START + DELAY);
        vm.prank(payer);
        hub.finalizeWithdraw(_config(1));
        vm.expectRevert(abi.encodeWithSelector(Channels.NoWithdrawal.selector, _id(_config(1))));
        vm.prank(payer);
        hub.finalizeWithdraw(_config(1));
    }

    function test_an_exit_cannot_touch_what_was_claimed_meanwhile() public {
        _deposit(_config(1), 5e6, 1);
        _initiate(_config(1), 5e6);
        _claim(_config(1), 4e6);
        vm.warp(block.timestamp + DELAY);
        vm.prank(payer);
        hub.finalizeWithdraw(_config(1));
        _state(_config(1), 4e6, 4e6);
        hub.settle(receiver, address(token));
        vm.assertEq(token.balanceOf(receiver), 4e6);
        vm.assertEq(token.balanceOf(CHANNELS), 0);
    }

    function test_an_exit_from_which_all_was_claimed_ends_with_nothing() public {
        _deposit(_config(1), 5e6, 1);
        _initiate(_config(1), 5e6);
        _claim(_config(1), 5e6);
        vm.warp(block.timestamp + DELAY);
        vm.expectEmit(CHANNELS);
        emit Channels.Withdrawn(_id(_config(1)), payer, receiver, 0, 5e6);
        vm.prank(payer);
        hub.finalizeWithdraw(_config(1));
        _pending(_config(1), 0, 0);
    }

    function test_the_race_of_exit_and_claim_is_the_receiver_s_for_the_whole_delay() public {
        _deposit(_config(1), 5e6, 1);
        Channels.VoucherClaim[] memory rows = _rows(_row(_config(1), 4e6, 4e6));
        _initiate(_config(1), 5e6);
        vm.warp(START + DELAY - 1);
        vm.prank(payer);
        vm.expectPartialRevert(Channels.WithdrawDelayRunning.selector);
        hub.finalizeWithdraw(_config(1));
        _claim(rows);
        _state(_config(1), 5e6, 4e6);
    }

    function test_a_voucher_that_was_not_claimed_before_the_exit_is_worth_nothing() public {
        _deposit(_config(1), 5e6, 1);
        Channels.VoucherClaim[] memory rows = _rows(_row(_config(1), 4e6, 4e6));
        _exit(_config(1), 5e6);
        vm.expectRevert(abi.encodeWithSelector(Channels.ExceedsBalance.selector, _id(_config(1)), 4e6, 0));
        vm.prank(receiver);
        hub.claim(rows);
    }

    function test_a_drained_channel_in_a_batch_is_named_and_can_be_left_out() public {
        _deposit(_config(1), 5e6, 1);
        _deposit(_config(2), 5e6, 2);
        Channels.VoucherClaim[] memory rows = _rows(_row(_config(1), 1e6, 1e6), _row(_config(2), 4e6, 4e6));
        _exit(_config(2), 5e6);
        bytes memory signature = _sign(AUTHORIZER_KEY, hub.getClaimBatchDigest(rows));
        vm.expectRevert(abi.encodeWithSelector(Channels.ExceedsBalance.selector, _id(_config(2)), 4e6, 0));
        hub.claimWithSignature(rows, signature);
        _state(_config(1), 5e6, 0);
        _claim(_rows(rows[0]));
        _state(_config(1), 5e6, 1e6);
    }

    function test_an_emptied_channel_is_told_again_when_it_is_filled_again() public {
        _deposit(_config(1), 5e6, 1);
        _exit(_config(1), 5e6);
        bytes memory data = _authorisation(PAYER_KEY, _id(_config(1)), 2e6, 2);
        vm.expectEmit(CHANNELS);
        emit Channels.ChannelCreated(_id(_config(1)), _config(1));
        hub.deposit(_config(1), 2e6, ERC3009_COLLECTOR, data);
        _state(_config(1), 2e6, 0);
    }

    function test_a_gift_to_the_hub_changes_no_channel() public {
        _deposit(_config(1), 5e6, 1);
        vm.prank(stranger);
        assert(token.transfer(CHANNELS, 7));
        _refund(_config(1), 5e6);
        vm.assertEq(token.balanceOf(CHANNELS), 7);
    }

    // Views

    function test_the_domain_is_told_by_erc5267() public view {
        (bytes1 fields, string memory name, string memory version, uint256 chainId, address place, bytes32 salt,) =
            hub.eip712Domain();
        vm.assertEq(bytes32(fields), bytes32(bytes1(0x0f)));
        vm.assertEq(name, "x402 Batch Settlement");
        vm.assertEq(version, "1");
        vm.assertEq(chainId, CHAIN);
        vm.assertEq(place, CHANNELS);
        vm.assertEq(salt, bytes32(0));
    }

    function test_digests_are_what_eip712_says() public view {
        Channels.ChannelConfig memory config = _config(3);
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("x402 Batch Settlement"),
                keccak256("1"),
                CHAIN,
                CHANNELS
            )
        );
        bytes32 channel = keccak256(
            abi.encode(
                keccak256(
                    "ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)"
                ),
                config
            )
        );
        bytes32 id = keccak256(abi.encodePacked(hex"1901", domain, channel));
        vm.assertEq(_id(config), id);
        bytes32 voucher =
            keccak256(abi.encode(keccak256("Voucher(bytes32 channelId,uint128 maxClaimableAmount)"), id, 9));
        vm.assertEq(hub.getVoucherDigest(id, 9), keccak256(abi.encodePacked(hex"1901", domain, voucher)));
    }

    // Fuzz

    function testFuzz_money_in_is_money_out_and_what_remains(
        uint128 deposited,
        uint128 claimed,
        uint128 refunded,
        uint128 withdrawn
    ) public {
        deposited = uint128(_within(deposited, 1, 1_000_000e6));
        claimed = uint128(_within(claimed, 0, deposited));
        refunded = uint128(_within(refunded, 1, type(uint128).max - 1));
        Channels.ChannelConfig memory config = _config(1);
        _deposit(config, deposited, 1);
        if (claimed != 0) _claim(config, claimed);
        _refund(config, refunded);
        (uint128 balance,) = hub.channels(_id(config));
        if (balance > claimed) _exit(config, uint128(_within(withdrawn, 1, balance - claimed)));
        hub.settle(receiver, address(token));
        (balance,) = hub.channels(_id(config));
        vm.assertEq(token.balanceOf(receiver), claimed);
        vm.assertEq(token.balanceOf(CHANNELS), balance - claimed);
        vm.assertEq(token.balanceOf(payer), 1_000_000e6 - balance);
    }

    function testFuzz_only_the_signer_s_key_makes_a_voucher(uint256 key, uint128 most) public {
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        key = _within(key, 1, order - 1);
        most = uint128(_within(most, 1, 5e6));
        vm.assume(key != VOUCHER_KEY);
        _deposit(_config(1), 5e6, 1);
        _notSigned(_rowBy(key, _config(1), most, most), _config(1));
    }

    function testFuzz_batches_hash_as_eip712_says(bytes32[] calldata salts, uint128 most, uint128 total) public view {
        Channels.VoucherClaim[] memory rows = new Channels.VoucherClaim[](salts.length);
        bytes memory entries;
        for (uint256 i = 0; i < salts.length; ++i) {
            rows[i] = Channels.VoucherClaim(Channels.Voucher(_config(uint256(salts[i])), most), "", total);
            entries = bytes.concat(
                entries,
                keccak256(
                    abi.encode(
                        keccak256("ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)"),
                        _id(rows[i].voucher.channel),
                        most,
                        total
                    )
                )
            );
        }
        bytes32 batch = keccak256(
            abi.encode(
                keccak256(
                    "ClaimBatch(ClaimEntry[] claims)ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)"
                ),
                keccak256(entries)
            )
        );
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("x402 Batch Settlement"),
                keccak256("1"),
                block.chainid,
                CHANNELS
            )
        );
        vm.assertEq(hub.getClaimBatchDigest(rows), keccak256(abi.encodePacked(hex"1901", domain, batch)));
    }
}
